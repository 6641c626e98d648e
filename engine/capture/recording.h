#pragma once

#include "engine/capture/captured_graph.h"
#include "engine/threads/autocast_mode.h"

#include <map>
#include <optional>
#include <string>
#include <unordered_map>

namespace miniparallel {

/// The capture of one step, from its construction to `finish` or to what cannot be captured.
class Recording final : public Capture {
 public:
  /// `arguments`: those in host memory, by number; others undefined.
  explicit Recording(std::vector<Tensor> arguments);
  /// Runs what has been recorded.
  ~Recording() override;

  /// A tensor of the graph that takes the place of an argument, on a GPU.
  Tensor place_of(std::size_t position, const Tensor& argument);
  /// Ends the capture and runs the graph. Null where it cannot serve further steps; `reason` says why.
  std::unique_ptr<CapturedGraph> finish(const std::vector<Tensor>& results);
  /// Why the step could not be captured, and what it should do instead; empty where it could.
  const std::string& reason() const { return reason_; }
  /// Whether further calls may fare better.
  bool may_be_tried_again() const { return !stopped_; }

  CachingAllocator* allocator(int device) override;
  void uses(const Tensor& tensor) override;
  void asks_whether_tracked(const Tensor& tensor) override;
  void writes(const Tensor& tensor) override;
  void changes_gradient(const Tensor& leaf, bool drops) override;
  bool copies_argument(const Tensor& target, const Tensor& source) override;
  Numbers numbers(Device device, std::size_t bytes) override;
  RandomOrigin random_origin(Device device) override;
  void add(std::unique_ptr<HostPart> part) override;
  void stop(std::string_view what, std::string_view instead) override;

 private:
  bool is_of_graph(const Storage& storage) const { return made_->owns(storage); }
  /// A result of the step: what a further run hands out for it.
  void note_result(const Tensor& result, std::size_t position);
  /// Ends the recording, and runs the graph for this call.
  void run_once();
  bool holds_all_that_is_left(const std::vector<Tensor>& results);

  std::optional<AutocastModeScope> own_casts_;  // those of a guard around the step would outlive it
  std::vector<Tensor> arguments_;
  std::unique_ptr<CapturedGraph> made_;
  std::unordered_map<const Storage*, std::shared_ptr<Storage>> storages_;
  std::unordered_map<const TensorImpl*, std::weak_ptr<TensorImpl>> tensors_;
  struct Counted {
    std::weak_ptr<Version> version;
    std::uint32_t writes;
  };
  std::unordered_map<const Version*, Counted> versions_;
  struct Gradient {
    std::weak_ptr<TensorImpl> leaf;
    const TensorImpl* before;
    bool dropped_first;
  };
  std::map<const TensorImpl*, Gradient> gradients_;
  kernels::RandomStart random_;
  std::map<Device, const kernels::RandomStart*> random_places_;
  bool stopped_ = false, recording_ = false;
  std::string reason_;
};

}  // namespace miniparallel
