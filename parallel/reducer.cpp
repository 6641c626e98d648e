#include "parallel/reducer.h"

#include <miniparallel/ops.h>

#include "engine/autograd/accumulate.h"
#include "engine/capturing.h"
#include "engine/device/accelerator.h"
#include "engine/error.h"
#include "engine/tensor/tensor_impl.h"
#include "parallel/devices.h"
#include "parallel/scattered_sums.h"
#include "parallel/stream_order.h"

#include <algorithm>
#include <exception>
#include <iterator>
#include <utility>

namespace miniparallel::parallel {
namespace {

/// Null unless several devices step the parameters.
std::shared_ptr<const Partition> make_partition(const std::vector<Tensor>& parameters, const Arena& values,
                                                const std::vector<Bucket>& buckets,
                                                const std::vector<Device>& replicas,
                                                const ReductionOptions& options) {
  const std::size_t devices = each_once(replicas).size();
  if (!options.shard_optimizer || devices == 1) return nullptr;
  std::vector<bool> is_trained;
  for (const Tensor& parameter : parameters) is_trained.push_back(parameter.requires_grad());
  return std::make_shared<const Partition>(values, buckets, is_trained, devices);
}

bool has(const Gradients& part, std::size_t i) { return !part.empty() && part.has[i] != 0; }

}  // namespace

/// The gradients of one backward. A bucket is summed, on the communication streams, as soon as all its
/// gradients are there, while the rest of the backward goes on.
class Reducer::Reduction final : public Walk {
 public:
  explicit Reduction(std::shared_ptr<Reducer> of)
      : of_(std::move(of)),
        syncs_(*of_->no_sync_ == 0),
        scatters_(syncs_ && of_->partition_ &&
                  of_->reduction_ != GradientReduction::nccl),  // whose sums arrive on one device
        staged_(of_->devices_.size()),
        progress_(of_->buckets_.size()) {}
  void start(const std::vector<std::size_t>& ends) {
    if (syncs_) {
      const std::scoped_lock lock(of_->mutex_);
      held_ = of_->take_held();
    }
    if (scatters_) sums_.partition = of_->partition_.get();
    for (const Device device : each_once(of_->devices_)) {  // written over gradients of its first replica
      if (!scatters_ && device != of_->devices_[0]) break;
      const auto first = std::ranges::find(of_->devices_, device) - of_->devices_.begin();
      sums_.arenas.push_back(&arena_of(static_cast<std::size_t>(first)));
    }
    for (const std::size_t end : ends) expect(end);
    for (std::size_t replica = 0; replica < staged_.size(); ++replica) parts_.push_back(part_of(replica));
    communicating_ = communicating_devices();
  }
  ~Reduction() override {
    try {
      leave(communicating_, StreamKind::communication);
    } catch (const std::exception&) {
      // The device has failed, as the next call on it will say.
    }
    const std::scoped_lock lock(of_->mutex_);
    try {
      if (!held_.parts.empty()) of_->hold_again(std::move(held_));  // an error came between
    } catch (const std::exception&) {
      // As above.
    }
    for (std::size_t replica = 0; replica < staged_.size(); ++replica)
      of_->return_arena(replica, staged_[replica].gradients);
  }

  Tensor place(std::size_t end, int rank) override {
    const std::size_t replica = replica_of(end), i = parameter_of(end);
    if (rank != static_cast<int>(replica)) return {};
    Staged& staged = staged_[replica];
    if (staged.placed[i]) return {};
    staged.placed[i] = true;
    return staged.gradients.arena.tensor(i);
  }

  void arrived(std::size_t end, int rank, Tensor gradient) override {
    const std::size_t replica = replica_of(end), i = parameter_of(end);
    if (!gradient.defined()) return complete(end);
    autograd::check_shape(gradient, of_->parameters_[i]);
    if (replica == 0 && rank != 0) {
      others_.emplace_back(i, std::move(gradient));
      return;
    }
    Gradients& gradients = staged_[replica].gradients;
    if (gradients.has[i] != 0)
      gradients.arena.tensor(i).add_(gradient);
    else if (!gradients.arena.holds(i, gradient))
      gradients.arena.tensor(i).copy_(gradient);
    gradients.has[i] = 1;
  }

  void finish() override {
    if (!held_.parts.empty() && syncs_)  // of parameters that this walk has not reached
      for (std::size_t bucket = 0; bucket < progress_.size(); ++bucket)
        if (!progress_[bucket].is_expected()) sum(bucket);
    leave(communicating_, StreamKind::communication);
    communicating_.clear();  // not before: after an error the destructor tries it again
    *of_->bytes_reduced_ = bytes_.load();
    if (scatters_) ScatteredSums::defer(sums_.arenas, of_->partition_, of_->bytes_reduced_);
    gradients_ = all_gradients();
    for (std::size_t i = 0; i < gradients_.size(); ++i)
      if (gradients_[i].defined()) autograd::run_leaf_hooks(of_->parameters_[i], gradients_[i]);
  }

  void commit() override {
    const std::scoped_lock lock(of_->mutex_);
    if (!syncs_) return keep_other_devices();
    autograd::accumulate_gradients(take_gradients());
    for (std::size_t replica = 0; replica < held_.parts.size(); ++replica)
      of_->return_arena(replica, held_.parts[replica]);
    held_ = {};
  }

 private:
  /// One replica's gradients.
  struct Staged {
    Gradients gradients;
    std::vector<bool> placed;  // whose place has been given away
  };

  std::size_t replica_of(std::size_t end) const { return end / of_->parameters_.size(); }
  std::size_t parameter_of(std::size_t end) const { return end % of_->parameters_.size(); }
  bool is_elsewhere(std::size_t replica) const { return of_->devices_[replica] != of_->devices_[0]; }
  /// The first device's, whose places become those of `grad`.
  const Arena& sums() const { return *sums_.arenas[0]; }

  std::vector<Device> communicating_devices() const {
    std::vector<Device> devices{of_->devices_[0]};
    for (std::size_t replica = 1; replica < staged_.size(); ++replica)
      if (parts_[replica] != nullptr || scatters_) devices.push_back(of_->devices_[replica]);
    return each_once(devices);
  }

  /// Of the replica's gradients in this walk.
  const Arena& arena_of(std::size_t replica) {
    Staged& staged = staged_[replica];
    if (staged.gradients.empty()) {
      staged.gradients = of_->take_arena(replica);
      staged.placed.assign(of_->parameters_.size(), false);
    }
    return staged.gradients.arena;
  }

  void expect(std::size_t end) {
    const std::size_t replica = replica_of(end);
    arena_of(replica);
    progress_[of_->bucket_of_[parameter_of(end)]].expect(of_->devices_[replica]);
  }

  /// Called, as all that arrives is, by the thread of the end's device.
  void complete(std::size_t end) {
    const std::size_t bucket = of_->bucket_of_[parameter_of(end)];
    if (progress_[bucket].complete(of_->devices_[replica_of(end)])) sum(bucket);
  }

  /// What a replica adds to the sums; null where it stays on its device.
  const Gradients* part_of(std::size_t replica) const {
    if (!syncs_ && is_elsewhere(replica)) return nullptr;
    if (!staged_[replica].gradients.empty()) return &staged_[replica].gradients;
    return held_of(replica);
  }
  /// What waits on the replica's device to be added now.
  const Gradients* held_of(std::size_t replica) const {
    return held_.parts.empty() || held_.parts[replica].empty() ? nullptr : &held_.parts[replica];
  }

  void sum(std::size_t number) {
    const Bucket bucket = of_->buckets_[number];
    std::vector<Device> others;  // which bring nothing to this bucket now
    std::ranges::copy_if(communicating_, std::back_inserter(others),
                         [&](Device device) { return !progress_[number].is_expected(device); });
    enter(others, StreamKind::communication);
    const StreamsScope scope(communicating_, StreamKind::communication);
    progress_[number].wait();
    for (std::size_t replica = 0; replica < staged_.size(); ++replica)
      if (const Gradients* const held = held_of(replica); held != nullptr && held != parts_[replica])
        add(*held, staged_[replica].gradients, bucket);
    bytes_ += sum_gradients(parts_, sums_, bucket, of_->reduction_);
  }

  /// The gradient of each parameter, undefined where there is none: places of `sums()`, except where the
  /// graph outside of the replicas sent all of it.
  std::vector<Tensor> all_gradients() {
    std::vector<Tensor> gradients(of_->parameters_.size());
    for (std::size_t i = 0; i < gradients.size(); ++i)
      if (std::ranges::any_of(parts_,
                              [&](const Gradients* part) { return part != nullptr && part->has[i] != 0; }))
        gradients[i] = sums().tensor(i);
    for (auto& [i, gradient] : others_) {
      const Tensor& leaf = of_->parameters_[i];
      gradient = gradient.to(leaf.device(), leaf.dtype());
      autograd::accumulate(gradients[i], std::move(gradient), false);
    }
    return gradients;
  }

  /// Of the parameters that have one.
  std::vector<autograd::LeafGradient> take_gradients() {
    std::vector<autograd::LeafGradient> taken;
    for (std::size_t i = 0; i < gradients_.size(); ++i)
      if (gradients_[i].defined()) taken.push_back({of_->parameters_[i], std::move(gradients_[i])});
    return taken;
  }

  /// Publishes the first device's part. The others' are kept with what was held before, to which they are
  /// added first: if that fails all is as it was.
  void keep_other_devices() {
    held_ = of_->take_held();
    if (held_.parts.empty()) held_.parts.resize(staged_.size());
    for (std::size_t replica = 1; replica < staged_.size(); ++replica)
      if (Gradients& staged = staged_[replica].gradients;
          is_elsewhere(replica) && !staged.empty() && !held_.parts[replica].empty())
        add(held_.parts[replica], staged, {0, of_->parameters_.size()});
    std::vector<Tensor> zeros = zeros_to_hold();
    autograd::accumulate_gradients(take_gradients());
    for (std::size_t i = 0; i < zeros.size(); ++i)
      if (zeros[i].defined()) of_->parameters_[i].set_grad(zeros[i]);
    for (std::size_t replica = 1; replica < staged_.size(); ++replica)
      if (Gradients& staged = staged_[replica].gradients; is_elsewhere(replica) && !staged.empty())
        std::swap(held_.parts[replica], staged);
    of_->hold(std::exchange(held_, {}));
  }

  /// For parameters that only other devices have a gradient of: a `grad` that can be dropped with theirs.
  std::vector<Tensor> zeros_to_hold() const {
    std::vector<Tensor> zeros(of_->parameters_.size());
    for (std::size_t i = 0; i < zeros.size(); ++i) {
      const Tensor& parameter = of_->parameters_[i];
      if (gradients_[i].defined() || parameter.grad().defined()) continue;
      bool is_elsewhere_only = is_held(held_, i);
      for (std::size_t replica = 1; replica < staged_.size(); ++replica)
        is_elsewhere_only |= is_elsewhere(replica) && has(staged_[replica].gradients, i);
      if (is_elsewhere_only) zeros[i] = zeros_like(parameter);
    }
    return zeros;
  }

  std::shared_ptr<Reducer> of_;
  const bool syncs_, scatters_;
  std::vector<Staged> staged_;  // by replica
  Sums sums_;
  Held held_;
  std::vector<const Gradients*> parts_;  // by replica
  std::vector<BucketProgress> progress_;
  std::vector<Device> communicating_;  // whose communication streams take part
  std::atomic<std::int64_t> bytes_ = 0;
  std::vector<std::pair<std::size_t, Tensor>> others_;  // (parameter, gradient) from outside of the replicas
  std::vector<Tensor> gradients_;                       // of the parameters, when all of it has ended
};

Reducer::Reducer(std::vector<Tensor> parameters, const Arena& values, std::vector<Device> devices,
                 const ReductionOptions& options, std::shared_ptr<std::atomic<int>> no_sync)
    : parameters_(std::move(parameters)),
      values_(values),
      devices_(std::move(devices)),
      reduction_(options.path),
      no_sync_(std::move(no_sync)),
      buckets_(buckets_of_gradients(values, options.bucket_bytes)),
      bucket_of_(parameters_.size()),
      partition_(make_partition(parameters_, values, buckets_, devices_, options)),
      arenas_(devices_.size()) {
  for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket)
    for (std::size_t i = buckets_[bucket].begin; i < buckets_[bucket].end; ++i) bucket_of_[i] = bucket;
}

void Reducer::attach() {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    autograd::Meta& meta = autograd::meta_of(parameters_[i]);
    if (meta.sink.get() == this) continue;
    meta.sink = devices_.size() > 1 ? shared_from_this() : nullptr;
    meta.sink_end = end(0, i);
  }
}

void Reducer::detach() {
  for (const Tensor& parameter : parameters_) {
    autograd::Meta& meta = autograd::meta_of(parameter);
    if (meta.sink.get() == this) meta.sink = nullptr;
  }
}

std::unique_ptr<autograd::GradientSink::Walk> Reducer::begin(const std::vector<std::size_t>& ends) {
  auto walk = std::make_unique<Reduction>(shared_from_this());
  walk->start(ends);
  return walk;
}

void Reducer::check_bypass() const {
  check(*no_sync_ == 0,
        "DataParallel: a backward with create_graph under no_sync; its gradients are part of a graph that "
        "spans "
        "the devices, so leave create_graph out, or call it when no_sync has ended");
  check(!holds_for(parameters_),
        "DataParallel: a backward with create_graph while gradients of no_sync wait on their devices; call a "
        "backward without it first, which adds them, or zero_grad(), which drops them");
}

bool Reducer::holds_for(const std::vector<Tensor>& parameters) const {
  const std::scoped_lock lock(mutex_);
  for (std::size_t i = 0; i < held_.grads.size(); ++i) {
    const Tensor grad = parameters_[i].grad();
    if (!is_held(held_, i) || !grad.defined()) continue;
    const bool is_converted = !values_.fits(i, grad.shape(), grad.dtype());
    if (!is_current(held_, i) && !is_converted) continue;
    if (std::ranges::any_of(parameters, [&](const Tensor& one) { return one.is_same(parameters_[i]); }))
      return true;
  }
  return false;
}

/// An arena for a replica's gradients, of which it has none yet. One whose places the user still holds, as
/// `grad`, is the user's. What the calling thread's stream did not use before is left to the allocator, which
/// knows when it may be used again.
Gradients Reducer::take_arena(std::size_t replica) {
  const Device device = devices_[replica];
  Gradients made{.arena = {}, .has = std::vector<char>(parameters_.size())};
  {
    const std::scoped_lock lock(mutex_);
    for (std::vector<Arena>& unused = arenas_[replica];
         capturing == nullptr && !unused.empty() && made.arena.size() == 0; unused.pop_back()) {
      const std::vector<Tensor>& blocks = unused.back().blocks();
      if (blocks[0].impl()->storage->stream() == stream(device) && std::ranges::all_of(blocks, is_exclusive))
        made.arena = unused.back();
    }
  }
  ScatteredSums::forget(made.arena);
  if (made.arena.size() == 0) made.arena = values_.zeros_on(device);
  return made;
}

void Reducer::return_arena(std::size_t replica, Gradients& gradients) {
  if (capturing != nullptr) {  // the memory is the graph's
    gradients = {};
    return;
  }
  if (!gradients.empty()) arenas_[replica].push_back(std::exchange(gradients, {}).arena);
}

/// Whether the parameter still has the `grad` that a part was held for.
bool Reducer::is_current(const Held& held, std::size_t i) const {
  const Tensor grad = parameters_[i].grad();
  return grad.defined() && held.grads[i].lock() == grad.impl();
}

bool Reducer::is_held(const Held& held, std::size_t i) {
  return std::ranges::any_of(held.parts, [&](const Gradients& part) { return has(part, i); });
}

/// What is held, without what belongs to gradients that were dropped or replaced. With the lock.
Reducer::Held Reducer::take_held() {
  Held held = std::exchange(held_, {});
  for (std::size_t i = 0; i < held.grads.size(); ++i)
    if (!is_current(held, i))
      for (Gradients& part : held.parts)
        if (!part.empty()) part.has[i] = 0;
  return held;
}

void Reducer::hold(Held held) {
  held.grads.resize(parameters_.size());
  for (std::size_t i = 0; i < parameters_.size(); ++i)
    if (is_held(held, i)) held.grads[i] = parameters_[i].grad().impl();
  held_ = std::move(held);
}

/// Of a walk that has failed. Another thread's may have left some meanwhile.
void Reducer::hold_again(Held held) {
  if (held_.parts.empty()) {
    held_ = std::move(held);
    return;
  }
  for (std::size_t i = 0; i < parameters_.size(); ++i)
    if (is_held(held, i)) held_.grads[i] = held.grads[i];
  for (std::size_t replica = 0; replica < held.parts.size(); ++replica) {
    Gradients &from = held.parts[replica], &to = held_.parts[replica];
    if (to.empty())
      to = std::exchange(from, {});
    else if (!from.empty())
      add(from, to, {0, parameters_.size()});
  }
}

}  // namespace miniparallel::parallel
