#pragma once

#include <miniparallel/tensor.h>

#include <cstddef>
#include <memory>
#include <vector>

namespace miniparallel::autograd {

/// Takes the gradients that plain backwards bring to some ends of the graph - leaves, or nodes that stand for
/// them - instead of adding each to a leaf's `grad`: to sum over devices, to send, to publish all at once. An
/// end names its sink, and the number by which the sink knows it (`Node::sink`). Walks for captured inputs,
/// and those that record, know no sinks.
class GradientSink {
 public:
  /// The gradients of one walk. Destroyed without `commit`, it must leave everything as it was.
  class Walk {
   public:
    virtual ~Walk() = default;
    /// Memory in which a gradient that a node of recorder `rank` sends to `end` is best written, not
    /// initialised; undefined where it makes no difference. Called in the thread that runs the nodes of the
    /// gradient's device.
    virtual Tensor place(std::size_t end, int rank) = 0;
    /// A gradient of `end`, in its place or not: the sum of what the nodes of recorder `rank` sent, in rising
    /// order of the ranks; outside of every recorder possibly several. At last an undefined one, also where
    /// no other came: the end is complete. Called in the thread that runs the end's device's nodes.
    virtual void arrived(std::size_t end, int rank, Tensor gradient) = 0;
    /// The walk has ended without an error: hooks see the gradients, and may throw. Called, as `commit`, in
    /// the thread that called backward.
    virtual void finish() {}
    /// Publishes the gradients. Called when all sinks of the walk have finished.
    virtual void commit() = 0;
  };

  virtual ~GradientSink() = default;
  /// A walk that reaches `ends`; not all of them need get a gradient.
  virtual std::unique_ptr<Walk> begin(const std::vector<std::size_t>& ends) = 0;
  /// Called before a backward with create_graph, which adds gradients to `grad` without the sink. Throws
  /// where the sink cannot let it.
  virtual void check_bypass() const {}
};

/// Where an end of the graph sends its gradients; a null sink for other nodes.
struct SinkEnd {
  GradientSink* sink = nullptr;
  std::size_t number = 0;  ///< of the end, as the sink counts them
};

}  // namespace miniparallel::autograd
