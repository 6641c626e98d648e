#include "engine/ops/elementwise.h"

#include "engine/autograd/trace.h"
#include "engine/ops/autocast.h"
#include "engine/ops/in_place.h"
#include "engine/types/representable.h"
#include "kernels/map_layout.h"

#include <array>
#include <cmath>
#include <span>

// The ops of the lists in kernels/elementwise.h, and the operators on top of them.

namespace miniparallel {

kernels::ElementwiseArgs elementwise_args(std::initializer_list<Tensor> operands) {
  const Shape& shape = operands.begin()->shape();
  kernels::ElementwiseArgs args;
  Shape strides[kernels::kMaxOperands];
  std::size_t count = 0;
  for (const Tensor& operand : operands) {
    args.operands[count] = raw(operand);
    strides[count++] = broadcast_strides(operand, shape);
  }
  args.layout = kernels::make_map_layout(shape, std::span(strides, count));
  return args;
}

Tensor make_elementwise(const Shape& shape, DType dtype, std::initializer_list<Tensor> operands) {
  bool some = false, all = true;
  for (const Tensor& operand : operands)
    if (operand.shape() == shape) {
      some = some || operand.impl()->channels_last;
      all = all && operand.impl()->channels_last;
    }
  return make_laid_out(some && all, shape, dtype, operands.begin()->device());
}

std::pair<Tensor, Tensor> operands_of(const char* op, const Tensor& a, const Tensor& b, DType dtype) {
  check_defined(op, a);
  check_defined(op, b);
  Tensor x = a.dim() == 0 && a.device().is_cpu() ? a.to(b.device()) : a;
  Tensor y = b.dim() == 0 && b.device().is_cpu() ? b.to(a.device()) : b;
  check_same_device(op, {x, y});
  return {x.to(dtype), y.to(dtype)};
}

Tensor number_like(const char* op, Scalar value, const Tensor& like) {
  check_defined(op, like);
  return make_full(op, {}, value, {.dtype = result_type(like, value), .device = like.device()});
}

namespace {

using kernels::Binary;
using kernels::ElementwiseArgs;
using kernels::Unary;
using kernels::functors::Saves;

namespace functors = kernels::functors;

/// What recording a unary function needs to know of its functor, whose gradient it has as ops on tensors.
struct UnaryRule {
  Unary function;
  Saves saves;
  bool passes_gradient;
  Tensor (*gradient)(Tensor g, Tensor saved, double p, double q);
};
template <class F>
constexpr bool passes_gradient = requires { F::passes_gradient; };
template <Unary function, class F>
constexpr UnaryRule unary_rule{function, F::saves, passes_gradient<F>, &F::template backward<Tensor>};

/// The same of a binary one.
struct BinaryRule {
  Binary function;
  bool linear, bilinear;
  Tensor (*gradients[2])(Tensor g, Tensor a, Tensor b);
};
template <class F>
constexpr bool is_linear = requires { F::linear; };
template <class F>
constexpr bool is_bilinear = requires { F::bilinear; };
template <Binary function, class F>
constexpr BinaryRule binary_rule{function,
                                 is_linear<F>,
                                 is_bilinear<F>,
                                 {&F::template backward_a<Tensor>, &F::template backward_b<Tensor>}};

/// The name for messages and the graph: the row's, or the one that the functor states.
template <class F>
constexpr const char* name_of(const char* row) {
  if constexpr (requires { F::op; })
    return F::op;
  else
    return row;
}

void check_supported(const char* op, Unary function, DType dtype) {
  check(kernels::supported(function, dtype), op, ": ", dtype, " is not supported; convert with to(float32)");
}
void check_supported(const char* op, Binary function, DType dtype) {
  check(function != Binary::sub || dtype != boolean, op,
        ": bool minus bool is not supported; use a != b (one of the two) or logical_not(x)");
  check(kernels::supported(function, dtype), op, ": ", dtype, " is not supported; convert with to(float32)");
}

// --- unary

void launch(Unary function, const Tensor& y, const Tensor& x, double p, double q) {
  ElementwiseArgs args = elementwise_args({y, x});
  args.p = p;
  args.q = q;
  backend(y).elementwise.unary(function, y.dtype(), args, stream(y));
}

void unary_backward(const UnaryRule& rule, Backward& b, const Tensor& saved, double p, double q) {
  if (rule.passes_gradient) return b.set(0, b.take_grad());
  if (b.create_graph())
    return b.set(0, rule.gradient(widened(b.grad()), widened(saved), p, q).to(b.grad().dtype()));
  const Tensor g = b.take_grad();
  b.write_over(0, g, [&](const Tensor& dx, int beta) {
    ElementwiseArgs args = elementwise_args({dx, g, saved.defined() ? saved : g});
    args.p = p;
    args.q = q;
    args.accumulate = beta != 0;
    backend(g).elementwise.unary_backward(rule.function, g.dtype(), args, stream(g));
  });
}

/// The backward of a function of x that keeps `kept`, which may be undefined.
auto backward_of(const UnaryRule& rule, const autograd::Saved& kept, double p, double q) {
  return [&rule, kept, p, q](Backward& b) {
    unary_backward(rule, b, kept.defined() ? kept.get(b) : Tensor(), p, q);
  };
}

Tensor floating(const char* op, const Tensor& x) {
  check_defined(op, x);
  return to_floating(x);
}

Tensor unary(const UnaryRule& rule, const char* op, const Tensor& x, double p = 0, double q = 0) {
  check_defined(op, x);
  check_supported(op, rule.function, x.dtype());
  Tensor y = result_laid_as(x);
  launch(rule.function, y, x, p, q);
  if (recording(x)) {
    autograd::note("function", static_cast<int>(rule.function));
    autograd::note("p", p);
    autograd::note("q", q);
    const autograd::Saved kept = rule.saves == Saves::input    ? save(x)
                                 : rule.saves == Saves::output ? save_output(y)
                                                               : autograd::Saved();
    record(op, y, {x}, backward_of(rule, kept, p, q));
  }
  return y;
}

Tensor& unary_in_place(const UnaryRule& rule, const char* op, Tensor& x, double p, double q = 0) {
  check_defined(op, x);
  check_supported(op, rule.function, x.dtype());
  if (rule.saves == Saves::output && recording(x))  // the gradient reads a result that nobody writes
    return copy_into(op, x, unary(rule, op, x, p, q));
  const InPlace write(op, x);
  const bool keep = rule.saves == Saves::input && recording(x);
  const autograd::Saved kept = keep ? save(x.clone()) : autograd::Saved();
  launch(rule.function, x, x, p, q);
  write.finish({x}, backward_of(rule, kept, p, q));
  return x;
}

// --- binary

void launch(Binary function, const Tensor& y, const Tensor& a, const Tensor& b) {
  backend(y).elementwise.binary(function, y.dtype(), elementwise_args({y, a, b}), stream(y));
}

/// The gradient of one side, into a destination where the side was not broadcast.
void binary_backward(const BinaryRule& rule, int side, Backward& backward, const Tensor& g, const Tensor& a,
                     const Tensor& b, const Shape& shape) {
  if (!backward.needs(side)) return;
  if (backward.create_graph() || (is_half(g) && g.shape() != shape))  // sums of numbers that are not rounded
    return backward.set(
        side, sum_to(rule.gradients[side](widened(g), widened(a), widened(b)), shape).to(g.dtype()));
  const auto compute = [&](const Tensor& d, int beta) {
    ElementwiseArgs args = elementwise_args({d, g, a, b});
    args.accumulate = beta != 0;
    backend(g).elementwise.binary_backward(rule.function, side, g.dtype(), args, stream(g));
  };
  if (g.shape() == shape) return backward.write_over(side, g, compute);
  const Tensor whole = result_laid_as(g);
  compute(whole, 0);
  backward.set(side, sum_to(whole, shape));
}

/// The backward of a function of a and b. It keeps what it reads, no more: of a sum nothing, of a product
/// each side for the other. An `a` that the op is about to write is kept as a copy.
auto backward_of(const BinaryRule& rule, const Tensor& a, const Tensor& b, bool writes_a = false) {
  const bool reads = !rule.linear && (!writes_a || recording(a, b));
  const bool keep_a = reads && (!rule.bilinear || autograd::is_tracked(b));
  const bool keep_b = reads && (!rule.bilinear || autograd::is_tracked(a));
  return [&rule, shapes = std::array{a.shape(), b.shape()},
          saved_a = keep_a ? save(writes_a ? a.clone() : a) : autograd::Saved(),
          saved_b = keep_b ? save(b) : autograd::Saved()](Backward& backward) {
    if (rule.linear) {
      const Tensor g = backward.take_grad();
      for (const int side : {1, 0})
        if (backward.needs(side))
          backward.set(side, rule.gradients[side](sum_to(g, shapes[static_cast<std::size_t>(side)]), g, g));
      return;
    }
    Tensor g = backward.grad();
    const Tensor x = saved_a.defined() ? saved_a.get(backward) : g;
    const Tensor y = saved_b.defined() ? saved_b.get(backward) : g;
    binary_backward(rule, 0, backward, g, x, y, shapes[0]);
    g = backward.take_grad();
    binary_backward(rule, 1, backward, g, x, y, shapes[1]);
  };
}

Tensor binary(const BinaryRule& rule, const char* op, const Tensor& a, const Tensor& b, DType dtype) {
  check_supported(op, rule.function, dtype);
  const auto [x, z] = operands_of(op, a, b, dtype);
  const Shape shape = broadcast_shapes(op, x.shape(), z.shape());
  Tensor y = make_elementwise(shape, dtype, {x, z});
  launch(rule.function, y, x, z);
  if (recording(x, z)) {
    autograd::note("function", static_cast<int>(rule.function));
    record(op, y, {x, z}, backward_of(rule, x, z));
  }
  return y;
}

/// A result is converted to a tensor that is written as `copy_` would, but keeps its kind.
void check_writable(const char* op, DType result, const Tensor& x) {
  check(is_floating(result) ? x.is_floating() : result == boolean || x.dtype() != boolean, op,
        ": a result of ", result, " cannot be written to a tensor of ", x.dtype(), "; convert it with to(",
        result, ")");
}

Tensor& binary_in_place(const BinaryRule& rule, const char* op, Tensor& x, const Tensor& other) {
  check_defined(op, x);
  check_defined(op, other);
  check_writable(op, result_type(x, other), x);
  check_supported(op, rule.function, x.dtype());
  check(broadcast_shapes(op, x.shape(), other.shape()) == x.shape(), op, ": ", other.shape(),
        " does not broadcast to ", x.shape(),
        ", the shape of the tensor that is written; only the other operand is stretched");
  const Tensor z = unaliased(operands_of(op, x, other, x.dtype()).second, x);
  const InPlace write(op, x, {z});
  const auto backward = backward_of(rule, x, z, true);
  launch(rule.function, x, x, z);
  write.finish({x, z}, backward);
  return x;
}

/// Whether a parameter of type double carries the number without loss. Throws, naming `op`, where it is not
/// in the range of integers; but x + -1 is x - 1, also for unsigned ones.
bool fits_parameter(const char* op, Scalar value, const Tensor& x) {
  const bool wraps = x.dtype() == uint8 && value.as_double() < 0 && value.as_double() >= -255;
  if (!x.is_floating() && !wraps) check_representable(op, value, x.dtype());
  return x.dtype() != boolean && (x.is_floating() || std::abs(value.as_double()) < 9e15);
}

/// `x op= value`, which the function of a parameter does by `sign * value`.
Tensor& number_in_place(const UnaryRule& with_parameter, const BinaryRule& rule, const char* op, Tensor& x,
                        Scalar value, double sign = 1) {
  check_defined(op, x);
  check_writable(op, result_type(x, value), x);
  if (fits_parameter(op, value, x)) return unary_in_place(with_parameter, op, x, sign * value.as_double());
  return binary_in_place(rule, op, x, number_like(op, value, x));
}

}  // namespace

// --- generated from the lists

#define MP_DEFINE(name, functor)                                                                    \
  Tensor name(const Tensor& x) {                                                                    \
    return unary(unary_rule<Unary::name, functors::functor>, name_of<functors::functor>(#name), x); \
  }
/// For the functions of a list, of which some have a rule.
#define MP_AUTOCAST_IF_LISTED(name, ...)                         \
  if constexpr (cast_rule(#name)) {                              \
    if (in_autocast) [[unlikely]]                                \
      return autocast<cast_of(#name)>(MP_OP(name), __VA_ARGS__); \
  }

#define MP_DEFINE_FLOATING(name, functor)                                          \
  Tensor name(const Tensor& x) {                                                   \
    MP_AUTOCAST_IF_LISTED(name, x)                                                 \
    constexpr const char* op = name_of<functors::functor>(#name);                  \
    return unary(unary_rule<Unary::name, functors::functor>, op, floating(op, x)); \
  }
#define MP_DEFINE_PARAMETRIC(name, functor)                                           \
  Tensor name(const char* op, const Tensor& x, double p, [[maybe_unused]] double q) { \
    return unary(unary_rule<Unary::name, functors::functor>, op, x, p, q);            \
  }
MP_UNARY_ARITHMETIC(MP_DEFINE)
MP_UNARY_FLOATING(MP_DEFINE_FLOATING)
MP_PARAMETRIC_ARITHMETIC(MP_DEFINE_PARAMETRIC)
MP_PARAMETRIC_FLOATING(MP_DEFINE_PARAMETRIC)

#define MP_DEFINE_BINARY(name, functor)                                                          \
  Tensor name(const Tensor& a, const Tensor& b) {                                                \
    check_defined(#name, a);                                                                     \
    check_defined(#name, b);                                                                     \
    return binary(binary_rule<Binary::name, functors::functor>, #name, a, b, result_type(a, b)); \
  }
#define MP_DEFINE_BINARY_FLOATING(name, functor)                                                         \
  Tensor name(const Tensor& a, const Tensor& b) {                                                        \
    MP_AUTOCAST_IF_LISTED(name, a, b)                                                                    \
    check_defined(#name, a);                                                                             \
    check_defined(#name, b);                                                                             \
    const DType dtype = result_type(a, b);                                                               \
    return binary(binary_rule<Binary::name, functors::functor>, name_of<functors::functor>(#name), a, b, \
                  is_floating(dtype) ? dtype : default_dtype());                                         \
  }
MP_BINARY_ARITHMETIC(MP_DEFINE_BINARY)
MP_BINARY_FLOATING(MP_DEFINE_BINARY_FLOATING)

// --- with numbers

namespace {

/// `x` in the dtype of the result of `op` with the number.
Tensor promoted(const char* op, const Tensor& x, Scalar value) {
  check_defined(op, x);
  return x.to(result_type(x, value));
}

Tensor scaled(const char* op, const Tensor& a, Scalar b) {
  const Tensor x = promoted(op, a, b);
  return fits_parameter(op, b, x) ? mul_scalar(op, x, b.as_double()) : mul(x, number_like(op, b, x));
}

}  // namespace

Tensor add(const Tensor& a, Scalar b) {
  const Tensor x = promoted("add", a, b);
  return fits_parameter("add", b, x) ? add_scalar("add", x, b.as_double()) : add(x, number_like("add", b, x));
}
Tensor sub(const Tensor& a, Scalar b) {
  const Tensor x = promoted("sub", a, b);
  return fits_parameter("sub", b, x) ? add_scalar("sub", x, -b.as_double())
                                     : sub(x, number_like("sub", b, x));
}
Tensor mul(const Tensor& a, Scalar b) { return scaled("mul", a, b); }
Tensor div(const Tensor& a, Scalar b) { return div_scalar("div", floating("div", a), b.as_double()); }
Tensor operator-(Scalar a, const Tensor& b) {
  const Tensor x = promoted("sub", b, a);
  return fits_parameter("sub", a, x) ? scalar_minus("sub", x, a.as_double())
                                     : sub(number_like("sub", a, x), x);
}
Tensor operator/(Scalar a, const Tensor& b) {
  if (in_autocast) [[unlikely]]
    return autocast<cast_of("reciprocal")>(MP_OP(operator/), a, b);
  return scalar_over("div", floating("div", b), a.as_double());
}
Tensor operator-(const Tensor& x) { return neg(x); }

Tensor pow(const Tensor& base, Scalar exponent) {
  MP_AUTOCAST(pow, base, exponent);
  const Tensor x = promoted("pow", base, exponent);
  const double p = exponent.as_double();
  if (x.is_floating()) {
    if (p == 2) return unary(unary_rule<Unary::square, functors::Square>, "pow", x);
    if (p == 1) return mul_scalar("pow", x, 1);
    if (p == 0.5) return unary(unary_rule<Unary::sqrt, functors::Sqrt>, "pow", x);
    return pow_scalar("pow", x, p);
  }
  check(p >= 0, "pow: integers to the negative power ", p, "; convert the base with to(float32)");
  Tensor power = ones_like(x), factor = x;
  for (std::int64_t n = exponent.as_int64(); n > 0; n /= 2) {
    if (n % 2 == 1) power = power * factor;
    factor = factor * factor;
  }
  return power;
}

Tensor pow(Scalar base, const Tensor& exponent) { return pow(number_like("pow", base, exponent), exponent); }

Tensor floor_divide(const Tensor& a, Scalar b) { return floor_divide(a, number_like("floor_divide", b, a)); }
Tensor remainder(const Tensor& a, Scalar b) { return remainder(a, number_like("remainder", b, a)); }
Tensor fmod(const Tensor& a, Scalar b) { return fmod(a, number_like("fmod", b, a)); }

Tensor reciprocal(const Tensor& x) {
  MP_AUTOCAST(reciprocal, x);
  return scalar_over("reciprocal", floating("reciprocal", x), 1);
}

Tensor activation_gradient(Activation activation, const Tensor& g, const Tensor& saved) {
  using namespace kernels::functors;
  return activation == Activation::relu ? Relu::backward(g, saved, 0, 0) : GeluTanh::backward(g, saved, 0, 0);
}

namespace {

/// Whether a bound of a clamp is exact as a double, or so far out that no integer of the dtype is beyond it.
bool is_exact_bound(Scalar bound, const Tensor& x) {
  return x.dtype() != boolean && (x.dtype() != int64 || std::abs(bound.as_double()) < 9e15);
}

}  // namespace

Tensor clamp_as(const char* op, const Tensor& x, Scalar low, Scalar high) {
  const Tensor a = promoted(op, promoted(op, x, low), high);
  if (is_exact_bound(low, a) && is_exact_bound(high, a))
    return clamp_between(op, a, low.as_double(), high.as_double());
  return minimum(maximum(a, number_like(op, low, a)), number_like(op, high, a));
}
Tensor clamp(const Tensor& x, Scalar low, Scalar high) { return clamp_as("clamp", x, low, high); }

// The other bound is out of every range.
Tensor clamp_min(const Tensor& x, Scalar low) {
  const Tensor a = promoted("clamp_min", x, low);
  return is_exact_bound(low, a) ? clamp_between("clamp_min", a, low.as_double(), HUGE_VAL)
                                : maximum(a, number_like("clamp_min", low, a));
}
Tensor clamp_max(const Tensor& x, Scalar high) {
  const Tensor a = promoted("clamp_max", x, high);
  return is_exact_bound(high, a) ? clamp_between("clamp_max", a, -HUGE_VAL, high.as_double())
                                 : minimum(a, number_like("clamp_max", high, a));
}

Tensor clamp(const Tensor& x, const Tensor& low, const Tensor& high) try {
  check_defined("clamp", x);
  check(low.defined() || high.defined(), "clamp: both bounds are undefined; give at least one");
  const Tensor raised = low.defined() ? maximum(x, low) : x;
  return high.defined() ? minimum(raised, high) : raised;
} catch (const Error& error) {
  rethrow_as("clamp", error);
}

// --- in place

Tensor& Tensor::add_(const Tensor& other, Scalar alpha) {
  if (alpha.as_double() == 1)
    return binary_in_place(binary_rule<Binary::add, functors::Add>, "add_", *this, other);
  return binary_in_place(binary_rule<Binary::add, functors::Add>, "add_", *this,
                         scaled("add_", other, alpha));
}
Tensor& Tensor::sub_(const Tensor& other) {
  return binary_in_place(binary_rule<Binary::sub, functors::Sub>, "sub_", *this, other);
}
Tensor& Tensor::mul_(const Tensor& other) {
  return binary_in_place(binary_rule<Binary::mul, functors::Mul>, "mul_", *this, other);
}
Tensor& Tensor::div_(const Tensor& other) {
  return binary_in_place(binary_rule<Binary::div, functors::Div>, "div_", *this, other);
}
Tensor& Tensor::add_(Scalar value) {
  return number_in_place(unary_rule<Unary::add_scalar, functors::AddScalar>,
                         binary_rule<Binary::add, functors::Add>, "add_", *this, value);
}
Tensor& Tensor::sub_(Scalar value) {
  return number_in_place(unary_rule<Unary::add_scalar, functors::AddScalar>,
                         binary_rule<Binary::sub, functors::Sub>, "sub_", *this, value, -1);
}
Tensor& Tensor::mul_(Scalar value) {
  return number_in_place(unary_rule<Unary::mul_scalar, functors::MulScalar>,
                         binary_rule<Binary::mul, functors::Mul>, "mul_", *this, value);
}
Tensor& Tensor::div_(Scalar value) {
  return number_in_place(unary_rule<Unary::div_scalar, functors::DivScalar>,
                         binary_rule<Binary::div, functors::Div>, "div_", *this, value);
}
Tensor& Tensor::clamp_(Scalar low, Scalar high) {
  check_defined("clamp_", *this);
  for (const Scalar bound : {low, high}) {
    check_writable("clamp_", result_type(*this, bound), *this);
    if (!is_exact_bound(bound, *this))
      return copy_into("clamp_", *this, clamp_as("clamp_", *this, low, high));
  }
  return unary_in_place(unary_rule<Unary::clamp_between, functors::Clamp>, "clamp_", *this, low.as_double(),
                        high.as_double());
}

#define MP_DEFINE_IN_PLACE(name, functor)                                                   \
  Tensor& Tensor::name##_() {                                                               \
    return unary_in_place(unary_rule<Unary::name, functors::functor>, #name "_", *this, 0); \
  }
MINIPARALLEL_UNARY_ARITHMETIC(MP_DEFINE_IN_PLACE)
MINIPARALLEL_UNARY_FLOATING(MP_DEFINE_IN_PLACE)

Tensor& Tensor::masked_fill_(const Tensor& mask, Scalar value) {
  return copy_into("masked_fill_", *this, masked_fill_as("masked_fill_", *this, mask, value));
}

}  // namespace miniparallel
