#pragma once

#include "engine/autograd/node.h"

#include <memory>
#include <mutex>
#include <vector>

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

/// A whole gradient of a leaf, of its shape.
struct LeafGradient {
  Tensor leaf, gradient;
};

/// Adds gradients to the `grad` of their leaves; they become the `grad` of those that have none. All of them
/// or, where that throws, none of those on one device: a device's are added by one launch, which comes after
/// whatever asks for memory. Neighbours in an arena whose gradients are neighbours are added as one array.
void accumulate_gradients(std::vector<LeafGradient> gradients);

/// What a walk has brought to leaves, until all of it has succeeded.
class LeafGradients {
 public:
  /// From any of the walk's threads.
  void add(const Tensor& leaf, Tensor gradient);
  /// Adds them to the leaves' `grad`.
  void publish();

 private:
  std::mutex mutex_;
  std::vector<LeafGradient> gradients_;
};

}  // namespace miniparallel::autograd
