#pragma once

#include <miniparallel/ops.h>

#include "engine/autograd/node.h"
#include "engine/device/accelerator.h"
#include "engine/device/backend.h"
#include "engine/error.h"
#include "engine/tensor/channels_last.h"
#include "engine/types/shape.h"

/// Helpers of the op files. An op is a function: checks, forward by a kernel, and - next to it - the
/// backward as the closure of `autograd::record`.

namespace miniparallel {

using autograd::Backward;
using autograd::record;
using autograd::recording;
using autograd::save;
using autograd::save_output;

inline const kernels::Backend& backend(const Tensor& tensor) { return backend(tensor.device()); }

/// Where the calling thread's work for the tensor's device goes.
inline kernels::Stream stream(const Tensor& tensor) { return stream(tensor.device()); }

/// `full`, whose errors name `op`.
Tensor make_full(const char* op, const Shape& shape, Scalar value, const TensorOptions& options);

/// Sums what broadcasting repeated, so that the result has `shape`: the gradient of `expand`.
Tensor sum_to(const Tensor& x, const Shape& shape);

/// The share of one of `count` elements in the gradient of their mean: 0 of none, so that no derivative of a
/// sum over nothing becomes 0 * infinity.
inline double share_of(std::int64_t count) { return count == 0 ? 0 : 1.0 / static_cast<double>(count); }

/// The strides of `x` seen with the shape it broadcasts to: 0 where it repeats.
Shape broadcast_strides(const Tensor& x, const Shape& shape);

/// The dtype of an op on both, by PyTorch's rules: tensors
/// with dimensions outrank those without when of one kind.
DType result_type(const Tensor& a, const Tensor& b);
DType result_type(const Tensor& a, Scalar b);

/// Throws unless all defined tensors are on one device / have the dtype; messages name `op` and both.
void check_same_device(const char* op, std::initializer_list<Tensor> tensors);
void check_same_dtype(const char* op, std::initializer_list<Tensor> tensors);
/// Throws unless floating / float32 or float64.
void check_floating(const char* op, const Tensor& tensor);
void check_full_precision(const char* op, const Tensor& tensor);
void check_defined(const char* op, const Tensor& tensor);

/// Throws `error` once more, as one of `op`. For an op that is made of others, whose user
/// called neither of them:
///
///   Tensor tile(const Tensor& x, const Shape& repeats) try {
///     ...
///   } catch (const Error& error) {
///     rethrow_as("tile", error);
///   }
///
/// Errors of a class of their own are not about the arguments and stay as they are: memory is used up, CUDA
/// failed, a GPU reports what an earlier call did.
[[noreturn]] void rethrow_as(const char* op, const Error& error);

/// Floating tensors as they are, integers and bool as `default_dtype`: what exp or mean accept.
Tensor to_floating(const Tensor& x);

/// Differentiable: the gradient through an activation other than none, whose backward reads its output
/// (relu) or its input.
Tensor activation_gradient(Activation activation, const Tensor& g, const Tensor& saved);

/// A result of the same shape, dtype and device, contiguous, not initialised.
inline Tensor result_like(const Tensor& x) { return make_tensor(x.shape(), x.dtype(), x.device()); }

/// The same, but laid out as x where that is channels-last: for kernels that know.
inline Tensor result_laid_as(const Tensor& x) {
  return make_laid_out(x.impl()->channels_last, x.shape(), x.dtype(), x.device());
}

/// Differentiable: x channels-last, where it can be, else contiguous; x itself if it is so.
Tensor in_channels_last(const Tensor& x);

/// `raw`, for kernels that take null for a tensor that is not there.
inline std::byte* raw_or_null(const Tensor& tensor) { return tensor.defined() ? raw(tensor) : nullptr; }

// For functors of kernels/functors/ whose backward runs on tensors.
inline Tensor select(const Tensor& condition, const Tensor& a, const Tensor& b) {
  return where(condition, a, b);
}
inline Tensor zero(const Tensor& like) { return zeros_like(like); }

}  // namespace miniparallel
