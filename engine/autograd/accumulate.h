#pragma once

#include "engine/autograd/node.h"

#include <memory>

namespace miniparallel::autograd {

/// The end of the graph at a leaf: adds what arrives to the leaf's `grad`.
class AccumulateGrad final : public Node {
 public:
  explicit AccumulateGrad(const Tensor& leaf) : Node("AccumulateGrad", 1), leaf_(leaf) {
    set_device(leaf.device());
  }
  void run(Backward& backward) override;
  SinkEnd sink() const override;
  const Tensor& leaf() const { return leaf_; }

 private:
  Tensor leaf_;
};

/// Runs the leaf's hooks on its whole gradient.
void run_leaf_hooks(const Tensor& leaf, Tensor& grad);
/// Throws `Error` unless a gradient has the leaf's shape.
void check_shape(const Tensor& grad, const Tensor& leaf);
/// Adds a whole gradient, of the leaf's shape, to the leaf's `grad`.
void accumulate_grad(const Tensor& leaf, Tensor grad, bool create_graph);

}  // namespace miniparallel::autograd
