#pragma once

#include "engine/ops/half.h"

/// Parts of the ops that normalise.

namespace miniparallel {

inline Tensor inverse_std(const Tensor& variance, double eps) { return 1.0 / sqrt(variance + eps); }

inline void check_parameter(const char* op, const char* what, const Tensor& parameter, const Shape& shape) {
  check(!parameter.defined() || parameter.shape() == shape, op, ": ", what, " has shape ",
        parameter.defined() ? parameter.shape() : Shape{}, "; it must be ", shape);
}

/// Throws, naming `op`, unless the parameters have the dtype of the input, or float32 where that has 16 bits.
inline void check_parameter_dtype(const char* op, const Tensor& x, std::initializer_list<Tensor> parameters) {
  for (const Tensor& parameter : parameters)
    if (parameter.defined() && !(is_half(x) && parameter.dtype() == float32))
      check_same_dtype(op, {x, parameter});
}

inline Tensor contiguous_or_none(const Tensor& tensor) {
  return tensor.defined() ? tensor.contiguous() : tensor;
}

}  // namespace miniparallel
