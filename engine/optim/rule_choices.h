#pragma once

#include <miniparallel/tensor.h>

#include "engine/capturing.h"
#include "kernels/loss_scale.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace miniparallel::optim {

/// By what a device decides on a step, in its memory.
struct OnDevice {
  kernels::OverflowFlags overflow;
  const kernels::Attempts* attempts = nullptr;
};

/// While it lives, the calling thread's updates are those of such a step.
class OnDeviceScope {
 public:
  explicit OnDeviceScope(const OnDevice& by);
  ~OnDeviceScope();
  OnDeviceScope(const OnDeviceScope&) = delete;
  OnDeviceScope& operator=(const OnDeviceScope&) = delete;

 private:
  const OnDevice* previous_;
};

/// Null where the host decides.
extern constinit thread_local const OnDevice* on_device;

/// The rules of an update's rows, each in the versions that it may have, of which the device chooses.
class RuleTable {
 public:
  explicit RuleTable(std::size_t rule_size) : size_(rule_size) {}

  /// Which choice is that of a row whose group, number of the step and pending updates are these. If there is
  /// none yet, `write(skipped, rule)` writes its rules: for so many of the pending updates skipped.
  std::size_t find(int group, std::int64_t step, std::uint32_t pending,
                   const std::function<void(int skipped, std::byte* rule)>& write);

  /// Has the device choose. The rules, in the order of the choices, are in memory that is free after the
  /// update.
  Tensor choose(Device device) const;

  // --- of a captured step
  /// What all rules take, whatever is pending.
  std::size_t bytes() const;
  void write(std::byte* memory) const;
  Tensor choose_from(const void* memory, Device device) const;

 private:
  struct Key {
    int group;
    std::int64_t step;
    std::uint32_t pending;
    friend bool operator==(const Key&, const Key&) = default;
  };
  static constexpr std::size_t kMost = kernels::kKnownAttempts + 1;
  Tensor memory_for_rules(Device device) const;

  std::size_t size_;
  std::vector<Key> keys_;
  std::vector<std::vector<std::byte>> rules_;  // by key
};

}  // namespace miniparallel::optim
