#pragma once

#include <miniparallel/scalar.h>

/// The ops that work element by element. A row of these lists gives an op its kernels and its gradient, made
/// of the functor of that name in kernels/elementwise.h, and a member of Tensor: `exp(x)` is `x.exp()` too.
/// The functions are declared below.

// Each row: name, functor. For every arithmetic dtype ...
#define MINIPARALLEL_UNARY_ARITHMETIC(X) \
  X(neg, Neg)                            \
  X(abs, Abs)                            \
  X(square, Square)                      \
  X(relu, Relu)

// ... or for float32 and float64.
#define MINIPARALLEL_UNARY_FLOATING(X) \
  X(exp, Exp)                          \
  X(log, Log)                          \
  X(sqrt, Sqrt)                        \
  X(sin, Sin)                          \
  X(cos, Cos)                          \
  X(erf, Erf)                          \
  X(tanh, Tanh)                        \
  X(sigmoid, Sigmoid)                  \
  X(silu, Silu)

#define MINIPARALLEL_BINARY_ARITHMETIC(X) \
  X(add, Add)                             \
  X(sub, Sub)                             \
  X(mul, Mul)                             \
  X(maximum, Maximum)                     \
  X(minimum, Minimum)                     \
  X(pow, Pow)

#define MINIPARALLEL_BINARY_FLOATING(X) X(div, Div)

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

Tensor add(const Tensor& a, Scalar b);
Tensor sub(const Tensor& a, Scalar b);
Tensor mul(const Tensor& a, Scalar b);
Tensor div(const Tensor& a, Scalar b);
Tensor pow(const Tensor& base, Scalar exponent);  ///< integers to a negative integer power: `Error`
Tensor pow(Scalar base, const Tensor& exponent);

// --- comparison, broadcast like arithmetic: bool results, no gradient. A number may be out of the range of
// the tensor's dtype. Also as operators: a == b.

#define MINIPARALLEL_DECLARE(name, op)           \
  Tensor name(const Tensor& a, const Tensor& b); \
  Tensor name(const Tensor& a, Scalar b);
MINIPARALLEL_COMPARE(MINIPARALLEL_DECLARE)
#undef MINIPARALLEL_DECLARE

// --- functions: the result has the shape of x. neg, abs, square and relu keep the dtype of integers and take
// no bool; the others give `default_dtype` for both.

Tensor neg(const Tensor& x);
Tensor exp(const Tensor& x);
Tensor log(const Tensor& x);   ///< natural; NaN below 0
Tensor sqrt(const Tensor& x);  ///< NaN below 0
Tensor abs(const Tensor& x);   ///< gradient 0 at 0, NaN at NaN
Tensor tanh(const Tensor& x);
Tensor sigmoid(const Tensor& x);  ///< 1 / (1 + exp(-x))
Tensor square(const Tensor& x);
Tensor relu(const Tensor& x);  ///< gradient 0 at 0; it passes at NaN
enum class Gelu { erf, tanh };
/// x Phi(x), Phi the normal distribution function, exactly or by the usual formula with tanh.
Tensor gelu(const Tensor& x, Gelu approximate = Gelu::erf);
Tensor silu(const Tensor& x);  ///< x sigmoid(x)
Tensor erf(const Tensor& x);
Tensor sin(const Tensor& x);
Tensor cos(const Tensor& x);

}  // namespace miniparallel
