#pragma once

#include "engine/ops/half.h"

/// Parts of the ops that normalise.

namespace miniparallel {

inline Tensor inverse_std(const Tensor& variance, double eps) { return 1.0 / sqrt(variance + eps); }

/// Differentiable: x normalised over `dims`, and the gradient of x for the gradient of that.
struct Normalized {
  Tensor inv_std, y;
  Shape dims;
  bool centers;

  Normalized(const Tensor& x, const Shape& over, double eps, bool by_mean) : dims(over), centers(by_mean) {
    const Tensor centered = centers ? x - mean(x, dims, true) : x;
    inv_std = inverse_std(mean(centered * centered, dims, true), eps);
    y = centered * inv_std;
  }
  Tensor backward(const Tensor& g) const {
    const Tensor rest = g - y * mean(g * y, dims, true);
    return inv_std * (centers ? rest - mean(g, dims, true) : rest);
  }
};

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
