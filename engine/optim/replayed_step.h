#pragma once

#include "engine/optim/attempts.h"
#include "engine/optim/captured_rules.h"
#include "engine/optim/slot.h"

#include <array>
#include <memory>
#include <span>
#include <vector>

namespace miniparallel::optim {

/// A step of an optimizer that has been captured, as the host sees it: what further runs of the graph need of
/// the optimizer, and what they do to it.
class Optimizer::Replay final : public Capture::HostPart {
 public:
  /// `flags`: as for the step.
  Replay(Optimizer& of, const Tensor& flags);

  /// Makes an update, of which the graph takes note.
  void update(DType dtype, Device device, std::span<const Run> runs);
  /// A parameter that the step updates, after it has been counted.
  void updates(const Slot& slot);

  bool is_current() override;
  void write_numbers() override;
  void advance() override;

 private:
  struct Update {
    DType dtype;
    Device device;
    std::vector<Run> runs;
  };
  /// What the graph takes for granted of a parameter.
  struct Expected {
    std::size_t slot;
    std::int64_t step;  // after the step that was captured
    const void* parameter;
    std::array<const void*, kMaxStates> state;
    std::shared_ptr<DividedState> divided;
  };
  static std::array<const void*, kMaxStates> states_of(const Slot& slot);
  /// Steps since then, in which all parameters have taken part; else `is_current` is false.
  std::int64_t steps_since() const;

  std::weak_ptr<const char> alive_;
  Optimizer& of_;
  std::vector<Kind> kinds_;
  std::shared_ptr<Attempts> attempts_;  // of a step that a device may skip
  std::vector<Update> updates_;
  std::vector<Expected> expected_;
  CapturedRules rules_;
};

}  // namespace miniparallel::optim
