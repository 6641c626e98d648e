#include "engine/autograd/trace.h"
#include "engine/ops/elementwise.h"
#include "engine/types/representable.h"

#include <cmath>

// Comparison, logic, and choice by a condition.

namespace miniparallel {
namespace {

Tensor compare(kernels::Compare function, const char* op, const Tensor& a, const Tensor& b) {
  check_defined(op, a);
  check_defined(op, b);
  const DType dtype = result_type(a, b);
  const NoGradGuard no_grad;
  const auto [x, z] = operands_of(op, a, b, dtype);
  Tensor y = make_elementwise(broadcast_shapes(op, x.shape(), z.shape()), boolean, {x, z});
  backend(y).elementwise.compare(function, dtype, elementwise_args({y, x, z}), stream(y));
  return y;
}

/// A number out of the range of the tensor's dtype is compared in a wide one.
Tensor compare(kernels::Compare function, const char* op, const Tensor& a, Scalar b) {
  check_defined(op, a);
  const DType dtype = result_type(a, b);
  const DType wide = is_floating(dtype) ? float64 : int64;
  const Tensor x = is_representable(b, dtype) ? a : a.detach().to(wide);
  return compare(function, op, x, number_like(op, b, x));
}

/// Of the elements' values alone: records nothing.
Tensor classify(const char* op, const Tensor& x, kernels::Compare function, double bound) {
  const NoGradGuard no_grad;
  const Tensor a = abs(x);
  return compare(function, op, a, number_like(op, bound, a));
}

Tensor same_for_all(const Tensor& x, bool value) {
  return make_full("full", x.shape(), value, {.dtype = boolean, .device = x.device()});
}

}  // namespace

// --- elementwise

#define MP_DEFINE_COMPARE(name, op)                               \
  Tensor name(const Tensor& a, const Tensor& b) {                 \
    return compare(kernels::Compare::name, "operator" #op, a, b); \
  }                                                               \
  Tensor name(const Tensor& a, Scalar b) { return compare(kernels::Compare::name, "operator" #op, a, b); }
MINIPARALLEL_COMPARE(MP_DEFINE_COMPARE)

// Integers are finite.

Tensor isnan(const Tensor& x) {
  check_defined("isnan", x);
  return x.is_floating() ? compare(kernels::Compare::ne, "isnan", x, x) : same_for_all(x, false);
}
Tensor isinf(const Tensor& x) {
  check_defined("isinf", x);
  return x.is_floating() ? classify("isinf", x, kernels::Compare::eq, HUGE_VAL) : same_for_all(x, false);
}
Tensor isfinite(const Tensor& x) {
  check_defined("isfinite", x);
  return x.is_floating() ? classify("isfinite", x, kernels::Compare::lt, HUGE_VAL) : same_for_all(x, true);
}

namespace {

/// `join` of both as bool.
Tensor joined(const char* op, Tensor (*join)(const Tensor&, const Tensor&), const Tensor& a,
              const Tensor& b) try {
  return join(a.detach().to(boolean), b.detach().to(boolean));
} catch (const Error& error) {
  rethrow_as(op, error);
}

}  // namespace

Tensor logical_and(const Tensor& a, const Tensor& b) { return joined("logical_and", mul, a, b); }
Tensor logical_or(const Tensor& a, const Tensor& b) { return joined("logical_or", maximum, a, b); }
Tensor logical_xor(const Tensor& a, const Tensor& b) { return joined("logical_xor", ne, a, b); }
Tensor logical_not(const Tensor& x) { return compare(kernels::Compare::eq, "logical_not", x, 0); }

// --- bits

namespace {

Tensor of_bits(kernels::Binary function, const char* op, const Tensor& a, const Tensor& b) {
  check_defined(op, a);
  check_defined(op, b);
  const DType dtype = result_type(a, b);
  check(kernels::supported(function, dtype), op, ": got ", a.dtype(), " and ", b.dtype(),
        "; it takes integers, and bool unless it shifts");
  const auto [x, z] = operands_of(op, a, b, dtype);
  Tensor y = make_tensor(broadcast_shapes(op, x.shape(), z.shape()), dtype, x.device());
  backend(y).elementwise.binary(function, dtype, elementwise_args({y, x, z}), stream(y));
  return y;
}

Tensor of_bits(kernels::Binary function, const char* op, const Tensor& a, Scalar b) {
  check_defined(op, a);
  check(!a.is_floating() && b.kind() != Scalar::Kind::floating, op, ": got ", a.dtype(), " and the number ",
        b.as_double(), "; it takes integers");
  return of_bits(function, op, a, number_like(op, b, a));
}

Tensor flipped(const char* op, const Tensor& x) {
  check_defined(op, x);
  check(!x.is_floating(), op, ": got ", x.dtype(), "; it takes integers and bool");
  return x.dtype() == boolean ? logical_not(x) : -1 - x;
}

}  // namespace

#define MP_DEFINE_BITS(name, functor)                                                                   \
  Tensor name(const Tensor& a, const Tensor& b) { return of_bits(kernels::Binary::name, #name, a, b); } \
  Tensor name(const Tensor& a, Scalar b) { return of_bits(kernels::Binary::name, #name, a, b); }
MINIPARALLEL_BINARY_INTEGER(MP_DEFINE_BITS)
Tensor bitwise_not(const Tensor& x) { return flipped("bitwise_not", x); }

#define MP_DEFINE_OPERATOR(op, name)                             \
  Tensor operator op(const Tensor& a, const Tensor& b) {         \
    return of_bits(kernels::Binary::name, "operator" #op, a, b); \
  }                                                              \
  Tensor operator op(const Tensor& a, Scalar b) {                \
    return of_bits(kernels::Binary::name, "operator" #op, a, b); \
  }
MP_DEFINE_OPERATOR(&, bitwise_and)
MP_DEFINE_OPERATOR(|, bitwise_or)
MP_DEFINE_OPERATOR(^, bitwise_xor)
Tensor operator~(const Tensor& x) { return flipped("operator~", x); }

// --- choice

namespace {

/// `where`, whose errors name `op`.
Tensor choose(const char* op, const Tensor& condition, const Tensor& a, const Tensor& b) {
  const DType dtype = result_type(a, b);
  const auto [x, z] = operands_of(op, a, b, dtype);
  check_same_device(op, {condition, x});
  const Shape shape = broadcast_shapes(op, condition.shape(), broadcast_shapes(op, x.shape(), z.shape()));
  Tensor y = make_elementwise(shape, dtype, {x, z, condition});
  backend(y).elementwise.where(dtype, elementwise_args({y, condition, x, z}), stream(y));
  if (recording(x, z)) {
    autograd::note("condition", condition);
    record(op, y, {x, z},
           [condition = save(condition), x_shape = x.shape(), z_shape = z.shape()](Backward& backward) {
             const Tensor chosen = condition.get(backward), g = backward.grad();
             const Tensor none = full({}, 0, {.dtype = g.dtype(), .device = g.device()});
             if (backward.needs(0)) backward.set(0, sum_to(where(chosen, g, none), x_shape));
             if (backward.needs(1)) backward.set(1, sum_to(where(chosen, none, g), z_shape));
           });
  }
  return y;
}

}  // namespace

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  for (const Tensor* argument : {&condition, &a, &b}) check_defined("where", *argument);
  check(condition.dtype() == boolean, "where: the condition is ", condition.dtype(), "; compare to get bool");
  return choose("where", condition, a, b);
}

Tensor where(const Tensor& condition, const Tensor& a, Scalar b) {
  return where(condition, a, number_like("where", b, a));
}
Tensor where(const Tensor& condition, Scalar a, const Tensor& b) {
  return where(condition, number_like("where", a, b), b);
}
Tensor where(const Tensor& condition, Scalar a, Scalar b) {
  check_defined("where", condition);
  const TensorOptions options{.device = condition.device()};
  return where(condition, make_full("where", {}, a, options), make_full("where", {}, b, options));
}

Tensor masked_fill(const Tensor& x, const Tensor& mask, Scalar value) {
  return masked_fill_as("masked_fill", x, mask, value);
}

Tensor masked_fill_as(const char* op, const Tensor& x, const Tensor& mask, Scalar value) {
  check_defined(op, x);
  check_defined(op, mask);
  check(mask.dtype() == boolean, op, ": the mask is ", mask.dtype(), "; compare to get bool");
  return choose(op, mask, make_full(op, {}, value, {.dtype = x.dtype(), .device = x.device()}), x);
}

// --- whole tensors

namespace {

Tensor close(const char* op, const Tensor& a, const Tensor& b, double rtol, double atol) try {
  check(rtol >= 0 && atol >= 0, op, ": rtol is ", rtol, " and atol ", atol, "; both must be at least 0");
  const NoGradGuard no_grad;
  const DType dtype = promote(promote(a.dtype(), b.dtype()), float32);
  const Tensor x = a.to(dtype), y = b.to(dtype);
  const Tensor near = logical_or(x == y, abs(x - y) <= abs(y) * rtol + atol);
  // inf - inf is NaN and inf times rtol infinite: an infinite b is close to itself only.
  const Tensor wrong_infinity = logical_and(abs(y) == HUGE_VAL, x != y);
  return logical_and(near, logical_not(wrong_infinity));
} catch (const Error& error) {
  rethrow_as(op, error);
}

}  // namespace

Tensor isclose(const Tensor& a, const Tensor& b, double rtol, double atol) {
  return close("isclose", a, b, rtol, atol);
}

bool allclose(const Tensor& a, const Tensor& b, double rtol, double atol) {
  return all(close("allclose", a, b, rtol, atol)).item<bool>();
}

bool equal(const Tensor& a, const Tensor& b) {
  check_defined("equal", a);
  check_defined("equal", b);
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  return sum(compare(kernels::Compare::ne, "equal", a, b)).item<std::int64_t>() == 0;
}

}  // namespace miniparallel
