#include "engine/ops/elementwise.h"

#include <cmath>

// Comparison, logic, and choice by a condition.

namespace miniparallel {
namespace {

Tensor compare(kernels::Compare function, const char* op, const Tensor& a, const Tensor& b) {
  check_defined(op, a);
  check_defined(op, b);
  const DType dtype = result_type(a, b);
  check(dtype != float16 && dtype != bfloat16, op, ": ", dtype,
        " is not supported; convert with to(float32)");
  const NoGradGuard no_grad;
  const auto [x, z] = operands_of(op, a, b, dtype);
  Tensor y = make_tensor(broadcast_shapes(op, x.shape(), z.shape()), boolean, x.device());
  backend(y).elementwise.compare(function, dtype, elementwise_args({y, x, z}), stream(y));
  return y;
}

}  // namespace

// --- elementwise

#define MP_DEFINE_COMPARE(name, op)                                               \
  Tensor operator op(const Tensor& a, const Tensor& b) {                          \
    return compare(kernels::Compare::name, "operator" #op, a, b);                 \
  }                                                                               \
  Tensor operator op(const Tensor& a, Scalar b) {                                 \
    return compare(kernels::Compare::name, "operator" #op, a, number_like(b, a)); \
  }
MP_COMPARE(MP_DEFINE_COMPARE)

Tensor logical_and(const Tensor& a, const Tensor& b) {
  return mul(a.detach().to(boolean), b.detach().to(boolean));
}
Tensor logical_or(const Tensor& a, const Tensor& b) {
  return maximum(a.detach().to(boolean), b.detach().to(boolean));
}
Tensor logical_not(const Tensor& x) { return x == 0; }

// --- choice

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  check_defined("where", condition);
  check(condition.dtype() == boolean, "where: the condition is ", condition.dtype(), "; compare to get bool");
  const DType dtype = result_type(a, b);
  check(dtype != float16 && dtype != bfloat16, "where: ", dtype,
        " is not supported; convert with to(float32)");
  const auto [x, z] = operands_of("where", a, b, dtype);
  check_same_device("where", {condition, x});
  const Shape shape =
      broadcast_shapes("where", condition.shape(), broadcast_shapes("where", x.shape(), z.shape()));
  Tensor y = make_tensor(shape, dtype, x.device());
  backend(y).elementwise.where(dtype, elementwise_args({y, condition, x, z}), stream(y));
  if (recording(x, z))
    record("where", y, {x, z},
           [condition = save(condition), x_shape = x.shape(), z_shape = z.shape()](Backward& backward) {
             const Tensor chosen = condition.get(backward), g = backward.grad();
             const Tensor none = full({}, 0, {.dtype = g.dtype(), .device = g.device()});
             if (backward.needs(0)) backward.set(0, sum_to(where(chosen, g, none), x_shape));
             if (backward.needs(1)) backward.set(1, sum_to(where(chosen, none, g), z_shape));
           });
  return y;
}

Tensor masked_fill(const Tensor& x, const Tensor& mask, Scalar value) {
  check(mask.dtype() == boolean, "masked_fill: the mask is ", mask.dtype(), "; compare to get bool");
  return where(mask, full({}, value, {.dtype = x.dtype(), .device = x.device()}), x);
}

// --- whole tensors

bool allclose(const Tensor& a, const Tensor& b, double rtol, double atol) {
  const NoGradGuard no_grad;
  const DType dtype = promote(promote(a.dtype(), b.dtype()), float32);
  const Tensor x = a.to(dtype), y = b.to(dtype);
  const Tensor close = logical_or(x == y, abs(x - y) <= abs(y) * rtol + atol);
  // inf - inf is NaN and inf times rtol infinite: an infinite b is close to itself only.
  const Tensor wrong_infinity = logical_and(abs(y) == HUGE_VAL, x != y);
  return sum(logical_or(close == false, wrong_infinity)).item<std::int64_t>() == 0;
}

bool equal(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  return sum(a.detach() != b.detach()).item<std::int64_t>() == 0;
}

}  // namespace miniparallel
