#pragma once

#include <miniparallel/tensor.h>

#include <initializer_list>

namespace miniparallel {

/// Guards one write to the elements of an existing tensor:
///
///   InPlace write("mul_", *this, {other});   // throws where autograd forbids it: a leaf that requires grad,
///   or a view,
///   ...the kernel...                         // while grad mode is on and gradients flow through one of the
///   tensors if (write.finish()) record("mul_", *this, {*this, other}, ...);
class InPlace {
 public:
  InPlace(const char* op, const Tensor& target, std::initializer_list<Tensor> sources = {});
  /// Counts the write, so that a backward that needs the old elements notices. Whether it must be recorded.
  bool finish() const;

 private:
  const Tensor& target_;
  bool recorded_ = false;
};

}  // namespace miniparallel
