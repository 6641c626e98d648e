#pragma once

#include "engine/autograd/gradient_sink.h"
#include "engine/fork.h"
#include "parallel/gradients.h"
#include "parallel/partition.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace miniparallel::parallel {

/// Takes the gradients that plain backwards bring to the parameters of a model and of its replicas. Each
/// replica's are written into an arena on its device. Buckets of neighbours are summed as soon as they are
/// complete, next to the rest of the backward; when all of it has succeeded, the sums become the `grad` of
/// the model's parameters.
///
/// Where the optimizer is sharded the sums are, too: each device has its shard of each bucket, and the first
/// one's `grad` gets the others when somebody uses them (see ScatteredSums).
///
/// While a NoSync lives the sums of the first device alone are added to `grad`; the others are kept on their
/// devices until the next backward without one, or until `grad` is dropped or replaced.
class Reducer : public autograd::GradientSink, public std::enable_shared_from_this<Reducer> {
 public:
  /// `values`: the arena that holds `parameters`, the model's. Replica 0, on devices[0], is the model itself.
  /// `no_sync`: how many NoSyncs live.
  Reducer(std::vector<Tensor> parameters, const Arena& values, std::vector<Device> devices,
          const ReductionOptions& options, std::shared_ptr<std::atomic<int>> no_sync);

  /// The end of the graph that is parameter `i` of a replica.
  std::size_t end(std::size_t replica, std::size_t i) const { return replica * parameters_.size() + i; }
  /// Becomes the sink of the model's parameters, and ceases to be it. Without other replicas there is nothing
  /// to sum: the parameters have no sink then.
  void attach();
  void detach();
  /// What devices read and wrote of one another for the last backward's sums.
  std::int64_t bytes_reduced() const { return *bytes_reduced_; }

  /// Whether gradients of no_sync, of some of these parameters, wait on their devices for the next backward.
  bool holds_for(const std::vector<Tensor>& parameters) const;

  std::unique_ptr<Walk> begin(const std::vector<std::size_t>& ends) override;
  void check_bypass() const override;

 protected:
  /// Of the sums among the devices, each once in the order of the list; null where the first one
  /// has all of them.
  const Partition* partition() const { return partition_.get(); }

 private:
  class Reduction;
  /// What backwards under NoSync have left on other devices.
  struct Held {
    std::vector<Gradients> parts;                        // by replica; none where nothing is held
    std::vector<std::weak_ptr<const TensorImpl>> grads;  // of the parameters, to which they belong
  };

  Gradients take_arena(std::size_t replica);
  void return_arena(std::size_t replica, Gradients& gradients);
  bool is_current(const Held& held, std::size_t i) const;
  static bool is_held(const Held& held, std::size_t i);
  Held take_held();
  void hold(Held held);
  void hold_again(Held held);

  const std::vector<Tensor> parameters_;
  const Arena values_;
  const std::vector<Device> devices_;
  const GradientReduction reduction_;
  const std::shared_ptr<std::atomic<int>> no_sync_;
  const std::vector<Bucket> buckets_;
  std::vector<std::size_t> bucket_of_;  // by parameter
  const std::shared_ptr<const Partition> partition_;
  const std::shared_ptr<std::atomic<std::int64_t>> bytes_reduced_ =
      std::make_shared<std::atomic<std::int64_t>>(0);

  mutable std::mutex mutex_;  // guards what follows, and one publication of gradients from another
  const ForkSafety fork_safety_{LockOrder::reduction, mutex_};
  std::vector<std::vector<Arena>> arenas_;  // by replica, not in use
  Held held_;
};

}  // namespace miniparallel::parallel
