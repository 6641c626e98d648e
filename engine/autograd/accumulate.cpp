#include "engine/autograd/accumulate.h"

#include <miniparallel/ops.h>

#include "engine/device/accelerator.h"
#include "engine/device/backend.h"
#include "engine/error.h"
#include "engine/fork.h"
#include "engine/tensor/arena.h"
#include "engine/tensor/tensor_impl.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <utility>

namespace miniparallel::autograd {
namespace {

// Threads with separate graphs may have leaves in common. Adding up gradients that are differentiable
// themselves looks for accumulators, so these have a separate lock.
std::mutex& accumulators() { return fork_safe_mutex(LockOrder::accumulator); }

/// Guards the `grad` of some leaves: threads with separate graphs may add to those of one leaf.
class GradientLocks {
 public:
  explicit GradientLocks(std::span<const LeafGradient> of) {
    for (const LeafGradient& each : of) wanted_ |= std::uint64_t{1} << number_of(meta_of(each.leaf));
    for_each([](std::mutex& mutex) { mutex.lock(); });
  }
  ~GradientLocks() {
    for_each([](std::mutex& mutex) { mutex.unlock(); });
  }
  GradientLocks(const GradientLocks&) = delete;
  GradientLocks& operator=(const GradientLocks&) = delete;

 private:
  static constexpr std::size_t kLocks = 64;
  struct Lock {
    std::mutex mutex;
    ForkSafety safety{LockOrder::gradient, mutex};
  };
  static std::array<Lock, kLocks>& locks() {
    static auto& all = *new std::array<Lock, kLocks>;
    return all;
  }
  static std::size_t number_of(const Meta& meta) {
    return std::hash<const Meta*>()(&meta) / sizeof(Meta) % kLocks;
  }

  /// In their order, in which a fork() takes them, too.
  template <class F>
  void for_each(const F& f) const {
    for (std::uint64_t left = wanted_; left != 0; left &= left - 1) f(locks()[std::countr_zero(left)].mutex);
  }

  std::uint64_t wanted_ = 0;
};

/// Whether a gradient can be added to `grad` where that is.
bool is_added_to(const Tensor& grad) { return grad.is_contiguous() && !grad.requires_grad(); }

/// `grad` of contiguous tensors and what is added to them, of one device.
struct Additions {
  std::vector<Tensor> sums, addends;
};

/// The launch that adds many arrays has these.
bool can_be_joined(DType dtype) { return dtype == float32 || dtype == float64; }

/// Whether a row writes what another one reads or writes, as where a user has made one tensor the `grad` of
/// two leaves: one launch does not order them.
bool depend_on_order(std::span<const kernels::SumRow> rows) {
  struct Interval {
    std::uintptr_t begin, end;
    std::size_t row;
    bool written;
  };
  std::vector<Interval> intervals;
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (const bool written : {true, false}) {
      const auto begin = reinterpret_cast<std::uintptr_t>(written ? rows[i].sum : rows[i].addend);
      intervals.push_back(
          {begin, begin + static_cast<std::size_t>(rows[i].n) * size_of(rows[i].dtype), i, written});
    }
  std::ranges::sort(intervals, {}, &Interval::begin);
  for (std::size_t i = 0; i < intervals.size(); ++i)
    for (std::size_t k = i + 1; k < intervals.size() && intervals[k].begin < intervals[i].end; ++k)
      if (intervals[i].row != intervals[k].row && (intervals[i].written || intervals[k].written)) return true;
  return false;
}

void add_in_place(Additions& to, Device device) {
  std::vector<kernels::SumRow> rows;
  const auto lay_out = [&](const auto& joins) {
    rows.clear();
    for_each_run(to.sums.size(), joins, [&](std::size_t first, std::size_t last) {
      rows.push_back({to.sums[first].dtype(), raw(to.sums[first], to.sums[last]),
                      raw(to.addends[first], to.addends[last]), elements(to.sums[first], to.sums[last])});
    });
  };
  lay_out([&](std::size_t i) {
    return are_neighbours(to.sums[i], to.sums[i + 1]) && are_neighbours(to.addends[i], to.addends[i + 1]);
  });
  if (depend_on_order(rows)) {
    for (Tensor& addend : to.addends) addend = addend.clone();
    lay_out([](std::size_t) { return false; });
    for (const kernels::SumRow& row : rows) backend(device).optimizer.accumulate({&row, 1}, stream(device));
  } else {
    backend(device).optimizer.accumulate(rows, stream(device));
  }
  for (const Tensor& sum : to.sums) bump_version(sum);
}

/// As part of the graph: a `grad` that can be differentiated in its turn.
void accumulate_recorded(const Tensor& leaf, Tensor gradient) {
  if (capturing != nullptr) [[unlikely]]
    capturing->changes_gradient(leaf, false);
  gradient = gradient.to(leaf.device(), leaf.dtype());
  const LeafGradient each{leaf, {}};
  const GradientLocks locked({&each, 1});
  Tensor& sum = meta_of(leaf).grad;
  if (sum.defined())
    sum = sum + gradient;
  else
    sum = is_exclusive(gradient) ? std::move(gradient) : gradient.clone();
}

}  // namespace

std::shared_ptr<Node> accumulator_of(const Tensor& leaf) {
  const std::scoped_lock lock(accumulators());
  Meta& meta = *leaf.impl()->meta;
  std::shared_ptr<Node> node = meta.accumulator.lock();
  if (!node) meta.accumulator = node = make_shared_node(new AccumulateGrad(leaf));
  return node;
}

SinkEnd AccumulateGrad::sink() const {
  const Meta& meta = *leaf_.impl()->meta;
  return {meta.sink.get(), meta.sink_end};
}

void AccumulateGrad::run(Backward& backward) {
  check_shape(backward.grad(), leaf_);
  if (backward.create_graph())
    accumulate_recorded(leaf_, backward.take_grad());
  else
    backward.leaves().add(leaf_, backward.take_grad());
}

void check_shape(const Tensor& grad, const Tensor& leaf) {
  check(grad.shape() == leaf.shape(), "backward: a gradient of shape ", grad.shape(),
        " reached a leaf of shape ", leaf.shape(), "; an op's backward must give each input its own shape");
}

void accumulate_gradients(std::vector<LeafGradient> gradients) {
  const NoGradGuard no_grad;
  if (capturing != nullptr) [[unlikely]]
    for (const LeafGradient& each : gradients) capturing->changes_gradient(each.leaf, false);
  for (auto& [leaf, gradient] : gradients)
    if (gradient.device() != leaf.device() || gradient.dtype() != leaf.dtype())
      gradient = gradient.to(leaf.device(), leaf.dtype());
  const GradientLocks locked(gradients);
  // Whatever asks for memory or for other work comes first, then the one launch that writes to what
  // there was.
  std::map<Device, Additions> additions;
  Additions alone;
  for (auto& [leaf, gradient] : gradients) {
    const Tensor& sum = meta_of(leaf).grad;
    if (!sum.defined()) {
      if (!is_exclusive(gradient)) gradient = gradient.clone();
    } else if (is_added_to(sum)) {
      Additions& here = can_be_joined(sum.dtype()) ? additions[leaf.device()] : alone;
      here.sums.push_back(sum);
      here.addends.push_back(std::exchange(gradient, {}).contiguous());
    } else {
      gradient = sum + gradient;
    }
  }
  for (auto& [device, here] : additions) add_in_place(here, device);
  for (std::size_t i = 0; i < alone.sums.size(); ++i) alone.sums[i].add_(alone.addends[i]);
  for (auto& [leaf, gradient] : gradients)
    if (gradient.defined()) meta_of(leaf).grad = std::move(gradient);
}

void LeafGradients::add(const Tensor& leaf, Tensor gradient) {
  const std::scoped_lock lock(mutex_);
  if (gradients_.empty()) gradients_.reserve(16);
  gradients_.push_back({leaf, std::move(gradient)});
}

void LeafGradients::publish() {
  if (!gradients_.empty()) accumulate_gradients(std::move(gradients_));
}

}  // namespace miniparallel::autograd
