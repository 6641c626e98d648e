#include "engine/ops/elementwise.h"
#include "engine/ops/half.h"
#include "engine/types/representable.h"

#include <cmath>
#include <limits>
#include <numbers>

// Functions of single elements that are made of others.

namespace miniparallel {

namespace {

/// `y` of the magnitude, with the sign of x.
Tensor odd(const Tensor& x, const Tensor& y) { return where(x < 0, -y, y); }

}  // namespace

// So written that a small x keeps its digits, and the square of a large one does not overflow.

Tensor asinh(const Tensor& input) try {
  if (is_half(input)) return in_float32(MP_OP(asinh), input);
  const Tensor x = to_floating(input), a = odd(x, x), far = a > 1e9;  // |x| with a slope at 0
  const Tensor near = where(far, 0, a), square_of = square(near);
  const Tensor y = log1p(near + square_of / (1 + sqrt(1 + square_of)));
  return odd(x, where(far, log(where(far, a, 1)) + std::numbers::ln2, y));
} catch (const Error& error) {
  rethrow_as("asinh", error);
}

Tensor acosh(const Tensor& input) try {
  if (is_half(input)) return in_float32(MP_OP(acosh), input);
  const Tensor x = to_floating(input), far = x > 1e9, t = where(far, 1, x - 1);
  const Tensor y = log1p(t + sqrt(t * (t + 2)));
  return where(far, log(where(far, x, 1)) + std::numbers::ln2, y);
} catch (const Error& error) {
  rethrow_as("acosh", error);
}

Tensor atanh(const Tensor& input) try {
  if (is_half(input)) return in_float32(MP_OP(atanh), input);
  const Tensor x = to_floating(input);
  return 0.5 * (log1p(x) - log1p(-x));
} catch (const Error& error) {
  rethrow_as("atanh", error);
}

Tensor tanhshrink(const Tensor& x) try {
  check_floating("tanhshrink", x);
  if (is_half(x)) return in_float32(MP_OP(tanhshrink), x);
  return x - tanh(x);
} catch (const Error& error) {
  rethrow_as("tanhshrink", error);
}

Tensor hardshrink(const Tensor& x, double lambda) try {
  check_floating("hardshrink", x);
  check(lambda >= 0, "hardshrink: lambda is ", lambda, "; it must be at least 0");
  return where(abs(x.detach()) <= lambda, 0, x);
} catch (const Error& error) {
  rethrow_as("hardshrink", error);
}

Tensor softshrink(const Tensor& x, double lambda) try {
  check_floating("softshrink", x);
  check(lambda >= 0, "softshrink: lambda is ", lambda, "; it must be at least 0");
  if (is_half(x)) return in_float32(MP_OP(softshrink), x, lambda);
  const Tensor value = x.detach(), step = clamp(value, -lambda, lambda);
  return where(abs(value) <= lambda, 0, x - where(isnan(value), 0, step));
} catch (const Error& error) {
  rethrow_as("softshrink", error);
}

Tensor threshold(const Tensor& x, double limit, double value) try {
  check_floating("threshold", x);
  return where(x.detach() <= limit, value, x);
} catch (const Error& error) {
  rethrow_as("threshold", error);
}

Tensor frac(const Tensor& x) try {
  check_floating("frac", x);
  if (is_half(x)) return in_float32(MP_OP(frac), x);
  return x - trunc(x);
} catch (const Error& error) {
  rethrow_as("frac", error);
}

Tensor logit(const Tensor& x, double eps) try {
  if (is_half(x)) return in_float32(MP_OP(logit), x, eps);
  check(eps >= 0 && eps < 0.5, "logit: eps is ", eps, "; it must be at least 0 and below 1/2");
  const Tensor p = to_floating(x), bounded = eps > 0 ? clamp(p, eps, 1 - eps) : p;
  return log(bounded / (1 - bounded));
} catch (const Error& error) {
  rethrow_as("logit", error);
}

Tensor sinc(const Tensor& x) try {
  if (is_half(x)) return in_float32(MP_OP(sinc), x);
  const Tensor p = to_floating(x) * std::numbers::pi, none = p == 0;
  const Tensor angle = where(none, 1, p);
  return where(none, 1, sin(angle) / angle);
} catch (const Error& error) {
  rethrow_as("sinc", error);
}

Tensor deg2rad(const Tensor& x) try {
  return to_floating(x) * (std::numbers::pi / 180);
} catch (const Error& error) {
  rethrow_as("deg2rad", error);
}

Tensor rad2deg(const Tensor& x) try {
  return to_floating(x) * (180 / std::numbers::pi);
} catch (const Error& error) {
  rethrow_as("rad2deg", error);
}

Tensor signbit(const Tensor& x) try {
  const Tensor value = x.detach();
  if (!value.is_floating()) return value < 0;
  return (value < 0) | ((value == 0) & (1 / value < 0));
} catch (const Error& error) {
  rethrow_as("signbit", error);
}

Tensor isposinf(const Tensor& x) try {
  return x.is_floating() ? x == HUGE_VAL : isinf(x);
} catch (const Error& error) {
  rethrow_as("isposinf", error);
}

Tensor isneginf(const Tensor& x) try {
  return x.is_floating() ? x == -HUGE_VAL : isinf(x);
} catch (const Error& error) {
  rethrow_as("isneginf", error);
}

Tensor nan_to_num(const Tensor& x, double nan, std::optional<double> posinf,
                  std::optional<double> neginf) try {
  check_defined("nan_to_num", x);
  if (!x.is_floating()) return x.clone();
  const double largest = next_below(HUGE_VAL, x.dtype());
  const Tensor number = where(isnan(x), nan, x);
  return where(x == HUGE_VAL, posinf.value_or(largest),
               where(x == -HUGE_VAL, neginf.value_or(-largest), number));
} catch (const Error& error) {
  rethrow_as("nan_to_num", error);
}

Tensor logaddexp2(const Tensor& a, const Tensor& b) try {
  const DType dtype = result_type(a, b);
  check(is_floating(dtype), "logaddexp2: got ", a.dtype(), " and ", b.dtype(), "; one must be floating");
  if (is_half(dtype)) return in_float32(MP_OP(logaddexp2), a, b);
  return logaddexp(a * std::numbers::ln2, b * std::numbers::ln2) * std::numbers::log2e;
} catch (const Error& error) {
  rethrow_as("logaddexp2", error);
}

Tensor copysign(const Tensor& a, const Tensor& b) try {
  const DType dtype = result_type(a, b);
  const auto [x, y] = operands_of("copysign", a, b, is_floating(dtype) ? dtype : default_dtype());
  const Tensor magnitude = abs(x);
  return where(signbit(y), -magnitude, magnitude);
} catch (const Error& error) {
  rethrow_as("copysign", error);
}

namespace {

/// `a` where it wins or `b` is not a number.
Tensor winner(const char* op, const Tensor& a, const Tensor& b,
              Tensor (*wins)(const Tensor&, const Tensor&)) try {
  const auto [x, y] = operands_of(op, a, b, result_type(a, b));
  return where(wins(x, y) | isnan(y), x, y);
} catch (const Error& error) {
  rethrow_as(op, error);
}

}  // namespace

Tensor fmax(const Tensor& a, const Tensor& b) { return winner("fmax", a, b, ge); }
Tensor fmin(const Tensor& a, const Tensor& b) { return winner("fmin", a, b, le); }

Tensor heaviside(const Tensor& input, const Tensor& values) try {
  check_same_dtype("heaviside", {input, values});
  const Tensor x = input.detach(), at_zero = values.detach();
  return where(x == 0, at_zero, (x > 0).to(x.dtype()));
} catch (const Error& error) {
  rethrow_as("heaviside", error);
}

}  // namespace miniparallel
