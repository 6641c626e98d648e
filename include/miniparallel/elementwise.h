#pragma once

#include <miniparallel/scalar.h>

/// The ops that work element by element. A row of these lists gives an op its kernels and its gradient, made
/// of the functor of that name in kernels/functors/, and members of Tensor: `exp(x)` is `x.exp()` too, and a
/// unary one has a form in place, `x.exp_()`. The functions are declared below.

// Each row: name, functor. For every arithmetic dtype ...
#define MINIPARALLEL_UNARY_ARITHMETIC(X) \
  X(neg, Neg)                            \
  X(abs, Abs)                            \
  X(square, Square)                      \
  X(relu, Relu)                          \
  X(sign, Sign)                          \
  X(floor, Floor)                        \
  X(ceil, Ceil)                          \
  X(round, Round)                        \
  X(trunc, Trunc)

// ... or for float32 and float64.
#define MINIPARALLEL_UNARY_FLOATING(X) \
  X(exp, Exp)                          \
  X(expm1, Expm1)                      \
  X(log, Log)                          \
  X(log1p, Log1p)                      \
  X(log2, Log2)                        \
  X(log10, Log10)                      \
  X(sqrt, Sqrt)                        \
  X(rsqrt, Rsqrt)                      \
  X(sin, Sin)                          \
  X(cos, Cos)                          \
  X(tan, Tan)                          \
  X(asin, Asin)                        \
  X(acos, Acos)                        \
  X(atan, Atan)                        \
  X(sinh, Sinh)                        \
  X(cosh, Cosh)                        \
  X(tanh, Tanh)                        \
  X(erf, Erf)                          \
  X(erfinv, Erfinv)                    \
  X(sigmoid, Sigmoid)                  \
  X(logsigmoid, LogSigmoid)            \
  X(silu, Silu)                        \
  X(mish, Mish)                        \
  X(softsign, Softsign)                \
  X(hardsigmoid, HardSigmoid)          \
  X(hardswish, HardSwish)

#define MINIPARALLEL_BINARY_ARITHMETIC(X) \
  X(add, Add)                             \
  X(sub, Sub)                             \
  X(mul, Mul)                             \
  X(maximum, Maximum)                     \
  X(minimum, Minimum)                     \
  X(pow, Pow)                             \
  X(floor_divide, FloorDivide)            \
  X(remainder, Remainder)                 \
  X(fmod, Fmod)

#define MINIPARALLEL_BINARY_FLOATING(X) \
  X(div, Div)                           \
  X(atan2, Atan2)                       \
  X(hypot, Hypot)                       \
  X(logaddexp, LogAddExp)               \
  X(xlogy, Xlogy)

// For int64, int32 and uint8, those that do not shift also for bool.
#define MINIPARALLEL_BINARY_INTEGER(X) \
  X(bitwise_and, BitwiseAnd)           \
  X(bitwise_or, BitwiseOr)             \
  X(bitwise_xor, BitwiseXor)           \
  X(bitwise_left_shift, LeftShift)     \
  X(bitwise_right_shift, RightShift)

// Name, operator.
#define MINIPARALLEL_COMPARE(X) \
  X(eq, ==)                     \
  X(ne, !=)                     \
  X(lt, <)                      \
  X(le, <=)                     \
  X(gt, >)                      \
  X(ge, >=)

namespace miniparallel {

class Tensor;

// --- arithmetic: the result has the shape that both sides broadcast to. Integers wrap around; a number that
// their dtype does not have is an `Error` (-1 to -255 goes with uint8 as with the others).

Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);  ///< of two bool: `Error`
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);  ///< true division: integers give `default_dtype`
Tensor pow(const Tensor& base, const Tensor& exponent);
/// Where equal, each side gets half of the gradient; where one is NaN, each gets all of it.
Tensor maximum(const Tensor& a, const Tensor& b);
Tensor minimum(const Tensor& a, const Tensor& b);

/// floor(a / b), gradient 0; an integer over 0 gives 0.
Tensor floor_divide(const Tensor& a, const Tensor& b);
/// a - b floor(a / b), which has the sign of b, as Python's %; an integer by 0 gives 0.
Tensor remainder(const Tensor& a, const Tensor& b);
/// a - b trunc(a / b), which has the sign of a, as C's; an integer by 0 gives 0.
Tensor fmod(const Tensor& a, const Tensor& b);
/// The angle of the point (x, y), in (-pi, pi]; integers give `default_dtype`, as in the three after it.
Tensor atan2(const Tensor& y, const Tensor& x);
/// sqrt(a^2 + b^2) without overflow on the way. Gradient NaN where both are 0.
Tensor hypot(const Tensor& a, const Tensor& b);
Tensor logaddexp(const Tensor& a, const Tensor& b);  ///< log(exp(a) + exp(b)) without overflow
Tensor xlogy(const Tensor& x, const Tensor& y);      ///< x log(y), 0 where x is 0 and y not NaN

Tensor add(const Tensor& a, Scalar b);
Tensor sub(const Tensor& a, Scalar b);
Tensor mul(const Tensor& a, Scalar b);
Tensor div(const Tensor& a, Scalar b);
Tensor pow(const Tensor& base, Scalar exponent);  ///< integers to a negative integer power: `Error`
Tensor pow(Scalar base, const Tensor& exponent);
Tensor floor_divide(const Tensor& a, Scalar b);
Tensor remainder(const Tensor& a, Scalar b);
Tensor fmod(const Tensor& a, Scalar b);

// Of the bits of integers. Bool stays bool and is not shifted; a shift by less than 0 or by all bits leaves
// none of them, but the sign of a negative number to the right.

Tensor bitwise_not(const Tensor& x);
#define MINIPARALLEL_DECLARE(name, functor)      \
  Tensor name(const Tensor& a, const Tensor& b); \
  Tensor name(const Tensor& a, Scalar b);
MINIPARALLEL_BINARY_INTEGER(MINIPARALLEL_DECLARE)
#undef MINIPARALLEL_DECLARE

// --- three operands of one floating dtype, broadcast like arithmetic

Tensor addcmul(const Tensor& x, const Tensor& a, const Tensor& b, Scalar value = 1);  ///< x + value a b
Tensor addcdiv(const Tensor& x, const Tensor& a, const Tensor& b, Scalar value = 1);  ///< x + value a / b
/// start + weight (end - start), exactly `end` for a weight of 1.
Tensor lerp(const Tensor& start, const Tensor& end, const Tensor& weight);
Tensor lerp(const Tensor& start, const Tensor& end, Scalar weight);

// --- comparison, broadcast like arithmetic: bool results, no gradient. A number may be out of the range of
// the tensor's dtype. Also as operators: a == b.

#define MINIPARALLEL_DECLARE(name, op)           \
  Tensor name(const Tensor& a, const Tensor& b); \
  Tensor name(const Tensor& a, Scalar b);
MINIPARALLEL_COMPARE(MINIPARALLEL_DECLARE)
#undef MINIPARALLEL_DECLARE

Tensor isnan(const Tensor& x);     ///< bool; false for integers
Tensor isinf(const Tensor& x);     ///< bool; either infinity
Tensor isfinite(const Tensor& x);  ///< bool; neither infinite nor NaN

// --- functions: the result has the shape of x. neg, abs, square, sign, relu and those that round keep the
// dtype of integers and take no bool; the others give `default_dtype` for both.

Tensor neg(const Tensor& x);
Tensor exp(const Tensor& x);
Tensor log(const Tensor& x);   ///< natural; NaN below 0
Tensor sqrt(const Tensor& x);  ///< NaN below 0
Tensor abs(const Tensor& x);   ///< gradient 0 at 0, NaN at NaN
Tensor tanh(const Tensor& x);
Tensor sigmoid(const Tensor& x);  ///< 1 / (1 + exp(-x))
Tensor square(const Tensor& x);
Tensor reciprocal(const Tensor& x);  ///< 1 / x
Tensor rsqrt(const Tensor& x);       ///< 1 / sqrt(x)
Tensor expm1(const Tensor& x);       ///< exp(x) - 1, exact for a small x
Tensor log1p(const Tensor& x);       ///< log(1 + x), exact for a small x
Tensor log2(const Tensor& x);
Tensor log10(const Tensor& x);
Tensor erf(const Tensor& x);
Tensor erfinv(const Tensor& x);  ///< the inverse of `erf`: infinite at 1 and -1, NaN beyond
Tensor sin(const Tensor& x);
Tensor cos(const Tensor& x);
Tensor tan(const Tensor& x);
Tensor asin(const Tensor& x);
Tensor acos(const Tensor& x);
Tensor atan(const Tensor& x);
Tensor sinh(const Tensor& x);
Tensor cosh(const Tensor& x);

// Steps: their gradient is 0.

Tensor sign(const Tensor& x);  ///< -1, 0 or 1; 0 for NaN
Tensor floor(const Tensor& x);
Tensor ceil(const Tensor& x);
Tensor round(const Tensor& x);  ///< to the nearest integer, halves to the even one
Tensor trunc(const Tensor& x);  ///< towards 0

// --- activations, likewise

Tensor relu(const Tensor& x);  ///< gradient 0 at 0; it passes at NaN
enum class Gelu { erf, tanh };
/// x Phi(x), Phi the normal distribution function, exactly or by the usual formula with tanh.
Tensor gelu(const Tensor& x, Gelu approximate = Gelu::erf);
Tensor silu(const Tensor& x);         ///< x sigmoid(x)
Tensor mish(const Tensor& x);         ///< x tanh(softplus(x)). (Misra 2019.)
Tensor logsigmoid(const Tensor& x);   ///< log(sigmoid(x)), which neither overflows nor becomes log(0)
Tensor softsign(const Tensor& x);     ///< x / (1 + |x|)
Tensor hardsigmoid(const Tensor& x);  ///< x / 6 + 1/2, at least 0 and at most 1
Tensor hardswish(const Tensor& x);    ///< x hardsigmoid(x). (Howard et al. 2019.)
Tensor relu6(const Tensor& x);        ///< at least 0 and at most 6
/// x, at least `low` and at most `high`; gradient 0 at the bounds.
Tensor hardtanh(const Tensor& x, Scalar low = -1, Scalar high = 1);
Tensor leaky_relu(const Tensor& x, double negative_slope = 0.01);
Tensor elu(const Tensor& x, double alpha = 1);  ///< x, or alpha (exp(x) - 1) below 0
/// 1.0507 elu(x, 1.6733): outputs keep mean 0 and variance 1. (Klambauer et al. 2017.)
Tensor selu(const Tensor& x);
Tensor celu(const Tensor& x, double alpha = 1);  ///< x, or alpha (exp(x / alpha) - 1) below 0
/// log(1 + exp(beta x)) / beta; x itself where beta x is above `threshold`.
Tensor softplus(const Tensor& x, double beta = 1, double threshold = 20);
/// x, or weight x below 0; `weight` has one element, or one for each size of dimension 1.
Tensor prelu(const Tensor& x, const Tensor& weight);
/// a sigmoid(b) for the halves a and b of dimension `dim`, whose size is even.
Tensor glu(const Tensor& x, int dim = -1);

}  // namespace miniparallel
