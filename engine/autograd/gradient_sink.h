#pragma once

#include <miniparallel/tensor.h>

#include <memory>
#include <vector>

namespace miniparallel::autograd {

class Node;

/// Takes the gradients that plain backwards bring to some ends of the graph - leaves, or nodes that stand for
/// them - in the place of adding each to a leaf's `grad`: to sum over devices, to send, to publish all at once.
/// An end names its sink (`Node::sink`). Walks for captured inputs, and those that record, know no sinks.
class GradientSink {
 public:
  /// The gradients of one walk. Destroyed without `commit`, it must leave everything as it was.
  class Walk {
   public:
    virtual ~Walk() = default;
    /// Memory in which the gradient of `end` is best written, not initialised; undefined where it makes no
    /// difference, and from the second call for an end on.
    virtual Tensor place(const Node& end) = 0;
    /// The whole gradient of `end`, in its place or not. Called in the thread that runs the device's nodes,
    /// once for each end that gets one.
    virtual void arrived(const Node& end, Tensor gradient) = 0;
    /// The walk has ended without an error. Called in the thread that called backward.
    virtual void commit() = 0;
  };

  virtual ~GradientSink() = default;
  /// A walk that reaches `ends`; not all of them need get a gradient.
  virtual std::unique_ptr<Walk> begin(const std::vector<const Node*>& ends) = 0;
};

}  // namespace miniparallel::autograd
