#pragma once

#include "engine/ops/common.h"
#include "kernels/elementwise.h"

#include <initializer_list>
#include <utility>

/// Helpers shared by the elementwise ops.

namespace miniparallel {

/// Arguments for operands that broadcast to the shape of the first, the output.
kernels::ElementwiseArgs elementwise_args(std::initializer_list<Tensor> operands);

/// A tensor for the result, not initialised: channels-last if the operands of its shape are.
Tensor make_elementwise(const Shape& shape, DType dtype, std::initializer_list<Tensor> operands);

/// Both operands as `dtype` on one device: a number of
/// another device joins the tensor's, else both must agree.
std::pair<Tensor, Tensor> operands_of(const char* op, const Tensor& a, const Tensor& b, DType dtype);

/// The number as a tensor without dimensions, of the dtype that it gives the result with `like`. Throws,
/// naming `op`, where that does not have it.
Tensor number_like(const char* op, Scalar value, const Tensor& like);

// Of the lists in kernels/elementwise.h: functions of parameters, whose errors name `op`, and parts of ops.
#define MP_DECLARE_PARAMETRIC(name, functor) \
  Tensor name(const char* op, const Tensor& x, double p, double q = 0);
MP_PARAMETRIC_ARITHMETIC(MP_DECLARE_PARAMETRIC)
MP_PARAMETRIC_FLOATING(MP_DECLARE_PARAMETRIC)
#undef MP_DECLARE_PARAMETRIC
Tensor gelu_erf(const Tensor& x);
Tensor gelu_tanh(const Tensor& x);
Tensor prelu_broadcast(const Tensor& x, const Tensor& weight);

/// `clamp`, whose errors name `op`.
Tensor clamp_as(const char* op, const Tensor& x, Scalar low, Scalar high);

/// `masked_fill`, whose errors name `op`.
Tensor masked_fill_as(const char* op, const Tensor& x, const Tensor& mask, Scalar value);

}  // namespace miniparallel
