#pragma once

#include <miniparallel/tensor.h>

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace miniparallel::autograd {

class GradientSink;
class Node;

/// Autograd's part of a tensor.
struct Meta {
  bool requires_grad = false;  ///< set by the user, on leaves
  bool retain_grad = false;
  int output = 0;                   ///< which output of grad_fn this is
  std::shared_ptr<Node> grad_fn;    ///< null for leaves
  std::weak_ptr<Node> accumulator;  ///< of a leaf, while a graph refers to it
  Tensor grad;
  std::shared_ptr<GradientSink> sink;               ///< of a leaf: takes its gradients
  std::size_t sink_end = 0;                         ///< the leaf's number there
  std::vector<std::pair<int, Tensor::Hook>> hooks;  ///< of leaves; a node keeps those of its outputs
  /// Why hooks and changes of requires_grad are refused, and what to do instead; null where they are not.
  const char* fixed = nullptr;
};

}  // namespace miniparallel::autograd
