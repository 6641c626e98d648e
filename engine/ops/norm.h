#pragma once

#include "engine/ops/common.h"

/// Parts of the ops that normalise.

namespace miniparallel {

inline Tensor inverse_std(const Tensor& variance, double eps) { return 1.0 / sqrt(variance + eps); }

inline void check_parameter(const char* op, const char* what, const Tensor& parameter, const Shape& shape) {
  check(!parameter.defined() || parameter.shape() == shape, op, ": ", what, " has shape ",
        parameter.defined() ? parameter.shape() : Shape{}, "; it must be ", shape);
}

inline Tensor contiguous_or_none(const Tensor& tensor) {
  return tensor.defined() ? tensor.contiguous() : tensor;
}

}  // namespace miniparallel
