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
  const Tensor& leaf() const { return leaf_; }

 private:
  Tensor leaf_;
};

}  // namespace miniparallel::autograd
