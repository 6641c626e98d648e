#pragma once

#include <miniparallel/tensor.h>

#include "engine/autograd/node.h"
#include "engine/tensor/tensor_impl.h"

#include <cstdint>
#include <initializer_list>
#include <utility>

namespace miniparallel {

/// `source`, or a copy of it where writing to `target`, of the same storage, could change an element before
/// it is read. Each element may be read to write itself.
Tensor unaliased(const Tensor& source, const Tensor& target);

/// `target.copy_(source)`, whose errors name `op`.
Tensor& copy_into(const char* op, Tensor& target, const Tensor& source);

/// One write to the elements of an existing tensor:
///
///   InPlace write("mul_", *this, {other});  // throws for a leaf that requires grad, while grad mode is on
///   ...the kernel...
///   write.finish({*this, other}, [...](Backward& b) {...});  // gradients of the old elements and `other`
///
/// Where gradients flow through one of the tensors, the target takes its new history. A view hands its base a
/// history too: elements that the write did not touch keep the base's history, and other views of the base
/// follow at their next use.
class InPlace {
 public:
  InPlace(const char* op, const Tensor& target, std::initializer_list<Tensor> sources = {});

  template <class F>
  void finish(std::initializer_list<Tensor> inputs, F backward) const {
    const std::uint32_t write = count_write();
    if (!recorded_) return;
    if (target_.impl()->base) {
      const Tensor piece = target_.detach();  // the new elements, as an output of the op
      autograd::record(op_, piece, inputs, std::move(backward));
      write_through(piece);
    } else {
      autograd::record(op_, target_, inputs, std::move(backward));
    }
    let_views_follow(write);
  }

 private:
  /// Lets a backward that needs the old elements notice. Returns the number of the write.
  std::uint32_t count_write() const;
  /// Gives the base of the target the history of `piece` in the elements that the target shows.
  void write_through(const Tensor& piece) const;
  /// The target now, if it is a view, other views at their next use.
  void let_views_follow(std::uint32_t write) const;

  const char* op_;
  const Tensor& target_;
  bool recorded_ = false;
};

}  // namespace miniparallel
