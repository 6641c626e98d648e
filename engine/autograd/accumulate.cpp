#include "engine/autograd/accumulate.h"

#include <miniparallel/ops.h>

#include <mutex>

#include "engine/error.h"
#include "engine/tensor/tensor_impl.h"

namespace miniparallel::autograd {
namespace {

/// Guards the shared parts of leaves, which threads with graphs of their own may have in common.
std::mutex& leaf_mutex() {
  static std::mutex mutex;
  return mutex;
}

}  // namespace

std::shared_ptr<Node> accumulator_of(const Tensor& leaf) {
  const std::scoped_lock lock(leaf_mutex());
  Meta& meta = *leaf.impl()->meta;
  std::shared_ptr<Node> node = meta.accumulator.lock();
  if (!node) meta.accumulator = node = make_shared_node(new AccumulateGrad(leaf));
  return node;
}

void AccumulateGrad::run(Backward& backward) {
  Tensor grad = backward.take_grad();
  check(grad.shape() == leaf_.shape(), "backward: a gradient of shape ", grad.shape(),
        " reached a leaf of shape ", leaf_.shape());
  grad = grad.to(leaf_.device(), leaf_.dtype());
  const std::scoped_lock lock(leaf_mutex());
  Tensor& sum = meta_of(leaf_).grad;
  if (backward.create_graph())
    sum = sum.defined() ? add(sum, grad) : grad;
  else if (!sum.defined())
    sum = is_exclusive(grad) ? std::move(grad) : grad.clone();
  else if (sum.requires_grad() || !sum.is_contiguous())
    sum = add(sum, grad);
  else
    sum.add_(grad);
}

}  // namespace miniparallel::autograd
