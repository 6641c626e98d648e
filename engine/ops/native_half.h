#pragma once

#include "engine/ops/half.h"

/// Ops whose CUDA kernels read and write float16 and bfloat16 themselves, computing in float32, while on the
/// CPU they go through `in_float32`. Such an op asks `is_half_on_cpu` where others ask `is_half`. Gradients
/// that it composes of other ops, to be differentiated once more, it computes of `widened` tensors.

namespace miniparallel {

inline bool is_half_on_cpu(const Tensor& x) { return is_half(x) && x.device().is_cpu(); }

/// The dtype that the kernels compute in, and of the few numbers that go with many: statistics, parameters.
inline DType computed_dtype(const Tensor& x) { return is_half(x) ? float32 : x.dtype(); }

}  // namespace miniparallel
