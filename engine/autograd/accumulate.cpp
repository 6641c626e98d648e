#include "engine/autograd/accumulate.h"

#include <miniparallel/ops.h>

#include "engine/error.h"
#include "engine/fork.h"
#include "engine/tensor/tensor_impl.h"

#include <array>
#include <functional>
#include <mutex>

namespace miniparallel::autograd {
namespace {

// Threads with separate graphs may have leaves in common. Adding up gradients that are differentiable
// themselves looks for accumulators, so these have a separate lock.
std::mutex& accumulators() { return fork_safe_mutex(LockOrder::accumulator); }

/// Guards the gradient of a leaf, and that of some others.
std::mutex& gradient_lock(const Meta& meta) {
  struct Lock {
    std::mutex mutex;
    ForkSafety safety{LockOrder::gradient, mutex};
  };
  static auto& locks = *new std::array<Lock, 64>;
  return locks[std::hash<const Meta*>()(&meta) / sizeof(Meta) % locks.size()].mutex;
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
  accumulate_grad(leaf_, backward.take_grad(), backward.create_graph());
}

void check_shape(const Tensor& grad, const Tensor& leaf) {
  check(grad.shape() == leaf.shape(), "backward: a gradient of shape ", grad.shape(),
        " reached a leaf of shape ", leaf.shape(), "; an op's backward must give each input its own shape");
}

void accumulate_grad(const Tensor& leaf, Tensor grad, bool create_graph) {
  grad = grad.to(leaf.device(), leaf.dtype());
  Meta& meta = meta_of(leaf);
  const std::scoped_lock lock(gradient_lock(meta));
  Tensor& sum = meta.grad;
  if (!sum.defined())
    sum = is_exclusive(grad) ? std::move(grad) : grad.clone();
  else if (create_graph || sum.requires_grad() || !sum.is_contiguous())
    sum = add(sum, grad);
  else
    sum.add_(grad);
}

}  // namespace miniparallel::autograd
