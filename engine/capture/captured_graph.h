#pragma once

#include <miniparallel/cuda.h>
#include <miniparallel/tensor.h>

#include "engine/capture/numbers.h"
#include "engine/capturing.h"
#include "engine/device/accelerator.h"
#include "engine/memory/pool.h"
#include "engine/tensor/storage.h"
#include "engine/tensor/tensor_impl.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

namespace miniparallel {

/// A step that has been captured: its graph, its memory, and what the host does with it.
class CapturedGraph {
 public:
  CapturedGraph() = default;
  ~CapturedGraph();
  CapturedGraph(const CapturedGraph&) = delete;
  CapturedGraph& operator=(const CapturedGraph&) = delete;

  enum class Fit {
    yes,
    not_now,  ///< the model is in another state, which may come back
    never,    ///< something that it uses is gone
  };
  /// Whether it does what the step would do now.
  Fit fits() const;
  /// Does the step with these arguments; results() are valid then.
  void run(const std::vector<Tensor>& arguments);
  /// Tensors over memory that the next run writes, except that those which somebody still holds are moved
  /// out of the way first.
  std::vector<Tensor> results(const std::vector<Tensor>& arguments) const;
  /// Whether a run would write to memory of these.
  bool writes_one_of(const std::vector<Tensor>& arguments) const;
  std::size_t nodes() const { return graph_ ? graph_->nodes() : 0; }

  /// After the step that was captured has dropped its tensors: takes note of who holds what it uses.
  void settle();

  std::uint64_t last_use = 0;

 private:
  friend class Recording;

  /// Rows of a host argument that the step sends to a GPU: through one of two places there, into which a copy
  /// stream writes while the run before is still under way.
  struct Upload {
    std::size_t argument, offset, bytes;
    Tensor target;
    std::array<Tensor, 2> places;
  };
  struct UploadOrder {
    explicit UploadOrder(Device device)
        : filled{Event(device), Event(device)}, emptied{Event(device), Event(device)} {}
    std::array<Event, 2> filled, emptied;  // by place
  };
  /// An argument on a GPU is copied to its place in the graph.
  struct Placed {
    std::size_t argument;
    Tensor place;
  };
  /// A result that is an argument in host memory, or a view of it.
  struct Returned {
    std::size_t result, argument;
    Shape shape, strides;
    std::int64_t offset;  // from the argument's first element
  };
  struct UsedStorage {
    std::shared_ptr<Storage> storage;
    long holders;
  };
  struct UsedTensor {
    std::weak_ptr<TensorImpl> tensor;
    long holders;
    const Storage* storage;
    bool requires_grad;
    std::vector<int> hooks;
  };
  struct Written {
    std::shared_ptr<Version> version;
    std::uint32_t writes;  // of a run
  };
  struct Gradient {
    std::weak_ptr<TensorImpl> leaf;
    bool needs_before;
    const TensorImpl* before;
    Tensor after;
  };

  /// Whether memory belongs to the graph, apart from that of arguments.
  bool owns(const Storage& storage) const;
  void launch();
  void send(const std::vector<Tensor>& arguments);
  void release_held();
  void move_away(const std::vector<Tensor*>& tensors);

  std::map<int, std::unique_ptr<Pool>> pools_;  // by device; outlives the tensors below
  std::unique_ptr<Graph> graph_;
  std::map<Device, StepNumbers> numbers_;
  std::vector<Upload> uploads_;
  std::map<Device, UploadOrder> upload_order_;
  std::size_t turn_ = 0;
  std::vector<Placed> placed_;
  std::vector<Tensor> results_;
  std::vector<Returned> returned_;
  std::vector<UsedStorage> storages_;
  std::vector<UsedTensor> tensors_;
  std::vector<Written> written_;
  std::vector<Gradient> gradients_;
  std::vector<std::unique_ptr<Capture::HostPart>> parts_;
  std::map<Device, kernels::RandomStart*> random_starts_;  // on the host
  std::uint64_t random_calls_ = 0;
  std::uint64_t modes_ = 0;
};

}  // namespace miniparallel
