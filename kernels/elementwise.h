#pragma once

#include <miniparallel/dtype.h>
#include <miniparallel/elementwise.h>

#include "kernels/layout.h"
#include "kernels/math.h"
#include "kernels/sequence.h"
#include "kernels/sizes.h"
#include "kernels/stream.h"

/// Every elementwise function, once: forward and backward side by side, for the CPU, for CUDA and - where the
/// backward is itself differentiated - for tensors, which is why they are templates over T. To add one: a
/// functor here, and in miniparallel/elementwise.h a row in its list and the declaration.

namespace miniparallel::kernels {

namespace functors {

using namespace math;  // for a Tensor, argument-dependent lookup finds the ops instead

/// A floating number: of type T, or left to promotion when T is a tensor.
template <class T>
MP_INLINE auto constant(double value) {
  if constexpr (std::is_arithmetic_v<T>)
    return static_cast<T>(value);
  else
    return value;
}

/// The values that the backward of a unary function reads besides the gradient.
enum class Saves { nothing, input, output };

// --- unary: y = forward(x), dx = backward(g, saved)
// p and q are the parameters of a parametrised function; `op` is the name that users know, where the row has
// another.

struct Neg {
  static constexpr Saves saves = Saves::nothing;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return T(-modular(x));
  }
  template <class T>
  MP_INLINE static T backward(T g, T, double, double) {
    return T(-g);
  }
};

struct Abs {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return abs(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double, double) {
    return select(x > 0, g, select(x < 0, T(-g), T(g * (x - x))));  // 0, or NaN for NaN
  }
};

struct Square {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return T(modular(x) * modular(x));
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double, double) {
    return g * (x + x);
  }
};

struct Exp {
  static constexpr Saves saves = Saves::output;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return exp(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T y, double, double) {
    return g * y;
  }
};

struct Log {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return log(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double, double) {
    return g / x;
  }
};

struct Sqrt {
  static constexpr Saves saves = Saves::output;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return sqrt(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T y, double, double) {
    return g / (y + y);
  }
};

struct Sin {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return sin(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double, double) {
    return g * cos(x);
  }
};

struct Cos {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return cos(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double, double) {
    return -g * sin(x);
  }
};

struct Erf {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return erf(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double, double) {
    return g * exp(-x * x) * constant<T>(1.1283791670955126);
  }
};

struct Tanh {
  static constexpr Saves saves = Saves::output;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return tanh(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T y, double, double) {
    return g * (1 - y * y);
  }
};

struct Sigmoid {
  static constexpr Saves saves = Saves::output;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return sigmoid(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T y, double, double) {
    return g * y * (1 - y);
  }
};

struct Relu {
  static constexpr Saves saves = Saves::output;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    if constexpr (std::is_unsigned_v<T>)
      return x;
    else
      return x < 0 ? T(0) : x;  // NaN stays
  }
  template <class T>
  MP_INLINE static T backward(T g, T y, double, double) {
    return select(y <= 0, zero(g), g);  // passes at NaN, which would hide behind a 0
  }
};

/// x Phi(x) with the normal distribution function Phi. (Hendrycks, Gimpel 2016.)
struct GeluErf {
  static constexpr const char* op = "gelu";
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return constant<T>(0.5) * x * (1 + erf(x * constant<T>(0.70710678118654752)));
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double, double) {
    const T distribution = constant<T>(0.5) * (1 + erf(x * constant<T>(0.70710678118654752)));
    const T density = exp(x * x * constant<T>(-0.5)) * constant<T>(0.39894228040143268);
    return g * (distribution + x * density);
  }
};

/// The approximation x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) of the same paper.
struct GeluTanh {
  static constexpr const char* op = "gelu";
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    const T u = constant<T>(0.79788456080286536) * (x + constant<T>(0.044715) * x * x * x);
    return constant<T>(0.5) * x * (1 + tanh(u));
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double, double) {
    const T t = tanh(constant<T>(0.79788456080286536) * (x + constant<T>(0.044715) * x * x * x));
    const T slope = constant<T>(0.79788456080286536) * (1 + constant<T>(0.134145) * x * x);
    return g * constant<T>(0.5) * (1 + t + x * (1 - t * t) * slope);
  }
};

/// x sigmoid(x), also called swish.
struct Silu {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return x * sigmoid(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double, double) {
    const T s = sigmoid(x);
    return g * s * (1 + x * (1 - s));
  }
};

struct AddScalar {
  static constexpr bool passes_gradient = true;
  static constexpr Saves saves = Saves::nothing;
  template <class T>
  MP_INLINE static T forward(T x, double p, double) {
    return T(modular(x) + modular(parameter<T>(p)));
  }
  template <class T>
  MP_INLINE static T backward(T g, T, double, double) {
    return g;
  }
};

/// p - x
struct ScalarMinus {
  static constexpr Saves saves = Saves::nothing;
  template <class T>
  MP_INLINE static T forward(T x, double p, double) {
    return T(modular(parameter<T>(p)) - modular(x));
  }
  template <class T>
  MP_INLINE static T backward(T g, T, double, double) {
    return T(-g);
  }
};

struct MulScalar {
  static constexpr Saves saves = Saves::nothing;
  template <class T>
  MP_INLINE static T forward(T x, double p, double) {
    return T(modular(x) * modular(parameter<T>(p)));
  }
  template <class T>
  MP_INLINE static T backward(T g, T, double p, double) {
    return g * constant<T>(p);
  }
};

struct DivScalar {
  static constexpr Saves saves = Saves::nothing;
  template <class T>
  MP_INLINE static T forward(T x, double p, double) {
    return x / T(p);
  }
  template <class T>
  MP_INLINE static T backward(T g, T, double p, double) {
    return g / constant<T>(p);
  }
};

/// p / x
struct ScalarOver {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double p, double) {
    return T(p) / x;
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double p, double) {
    return -g * constant<T>(p) / (x * x);
  }
};

struct PowScalar {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double p, double) {
    return pow(x, T(p));
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double p, double) {
    if (p == 0) return zero(g);
    return g * constant<T>(p) * pow(x, constant<T>(p - 1));
  }
};

/// min(max(x, p), q), NaN where one of the three is. Only elements between the bounds have a gradient.
struct Clamp {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double p, double q) {
    const T low = saturated<T>(p), high = saturated<T>(q);
    const T raised = x < low || low != low ? low : x;
    return raised > high || high != high ? high : raised;
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double p, double q) {
    return select(x > constant<T>(p), select(x < constant<T>(q), g, zero(g)), zero(g));
  }
};

// --- binary: y = forward(a, b), da = backward_a(g, a, b), db = backward_b(g, a, b)

struct Add {
  static constexpr bool linear = true;  // the gradient reads neither operand
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return T(modular(a) + modular(b));
  }
  template <class T>
  MP_INLINE static T backward_a(T g, T, T) {
    return g;
  }
  template <class T>
  MP_INLINE static T backward_b(T g, T, T) {
    return g;
  }
};

struct Sub {
  static constexpr bool linear = true;  // the gradient reads neither operand
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return T(modular(a) - modular(b));
  }
  template <class T>
  MP_INLINE static T backward_a(T g, T, T) {
    return g;
  }
  template <class T>
  MP_INLINE static T backward_b(T g, T, T) {
    return T(-g);
  }
};

struct Mul {
  static constexpr bool bilinear = true;  // the gradient of a side reads the other one only
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return T(modular(a) * modular(b));
  }
  template <class T>
  MP_INLINE static T backward_a(T g, T, T b) {
    return g * b;
  }
  template <class T>
  MP_INLINE static T backward_b(T g, T a, T) {
    return g * a;
  }
};

struct Div {
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return a / b;
  }
  template <class T>
  MP_INLINE static T backward_a(T g, T, T b) {
    return g / b;
  }
  template <class T>
  MP_INLINE static T backward_b(T g, T a, T b) {
    return -g * a / (b * b);
  }
};

struct Pow {
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return pow(a, b);
  }
  template <class T>
  MP_INLINE static T backward_a(T g, T a, T b) {
    return select(b == 0, zero(g), T(g * b * pow(a, T(b - 1))));
  }
  template <class T>
  MP_INLINE static T backward_b(T g, T a, T b) {
    const T slope = T(g * pow(a, b) * log(a));
    return select(a == 0, select(b >= 0, zero(g), slope), slope);
  }
};

struct Maximum {
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return a != a ? a : b != b ? b : a > b ? a : b;
  }  // a NaN wins
  template <class T>
  MP_INLINE static T backward_a(T g, T a, T b) {
    return select(a < b, zero(g), select(a == b, T(g * constant<T>(0.5)), g));  // NaN: to both sides
  }
  template <class T>
  MP_INLINE static T backward_b(T g, T a, T b) {
    return backward_a(g, b, a);
  }
};

struct Minimum {
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return a != a ? a : b != b ? b : a < b ? a : b;
  }
  template <class T>
  MP_INLINE static T backward_a(T g, T a, T b) {
    return select(a > b, zero(g), select(a == b, T(g * constant<T>(0.5)), g));  // NaN: to both sides
  }
  template <class T>
  MP_INLINE static T backward_b(T g, T a, T b) {
    return backward_a(g, b, a);
  }
};

}  // namespace functors

// --- the lists: name of the op, its functor

/// The public ops, of miniparallel/elementwise.h, and the two forms of gelu.
#define MP_UNARY_ARITHMETIC(X) MINIPARALLEL_UNARY_ARITHMETIC(X)
#define MP_UNARY_FLOATING(X)     \
  MINIPARALLEL_UNARY_FLOATING(X) \
  X(gelu_erf, GeluErf)           \
  X(gelu_tanh, GeluTanh)

/// With parameters: each row defines `Tensor name(const
/// Tensor&, double p, double q)` for the ops that need it.
#define MP_PARAMETRIC_ARITHMETIC(X) \
  X(add_scalar, AddScalar)          \
  X(scalar_minus, ScalarMinus)      \
  X(mul_scalar, MulScalar)          \
  X(clamp_between, Clamp)

#define MP_PARAMETRIC_FLOATING(X) \
  X(div_scalar, DivScalar)        \
  X(scalar_over, ScalarOver)      \
  X(pow_scalar, PowScalar)

#define MP_ALL_UNARY_ARITHMETIC(X) MP_UNARY_ARITHMETIC(X) MP_PARAMETRIC_ARITHMETIC(X)
#define MP_ALL_UNARY_FLOATING(X) MP_UNARY_FLOATING(X) MP_PARAMETRIC_FLOATING(X)

#define MP_BINARY_ARITHMETIC(X) MINIPARALLEL_BINARY_ARITHMETIC(X)
#define MP_BINARY_FLOATING(X) MINIPARALLEL_BINARY_FLOATING(X)
#define MP_COMPARE(X) MINIPARALLEL_COMPARE(X)

#define MP_NAME(name, functor) name,
enum class Unary { MP_ALL_UNARY_ARITHMETIC(MP_NAME) MP_ALL_UNARY_FLOATING(MP_NAME) count };
enum class Binary { MP_BINARY_ARITHMETIC(MP_NAME) MP_BINARY_FLOATING(MP_NAME) count };
enum class Compare { MP_COMPARE(MP_NAME) count };
#undef MP_NAME

// --- the launchers

/// One elementwise call. Operand 0 is the output; it may
/// be one of the inputs when both have the same strides.
struct ElementwiseArgs {
  Layout layout;
  void* operands[kMaxOperands] = {};
  double p = 0, q = 0;  ///< the parameters of a parametrised function
  bool accumulate =
      false;  ///< add to the output instead of replacing it (floating dtypes, backward functions)
};
/// The shape as the kernel walks it: neighbouring dimensions are one where that is possible.
inline Sizes sizes(const ElementwiseArgs& args) {
  return {nullptr, std::span(args.layout.sizes, static_cast<std::size_t>(args.layout.rank))};
}

/// The caller asks `supported` before: a dtype that a function does not have is a null call.
struct Elementwise {
  void (*unary)(Unary function, DType dtype, const ElementwiseArgs& args, Stream stream);  ///< y, x
  void (*unary_backward)(Unary function, DType dtype, const ElementwiseArgs& args,
                         Stream stream);                                                     ///< dx, g, saved
  void (*binary)(Binary function, DType dtype, const ElementwiseArgs& args, Stream stream);  ///< y, a, b
  void (*binary_backward)(Binary function, int side, DType dtype, const ElementwiseArgs& args,
                          Stream stream);  ///< da (side 0) or db, g, a, b
  void (*compare)(Compare function, DType dtype, const ElementwiseArgs& args,
                  Stream stream);                                          ///< bool y, a, b
  void (*where)(DType dtype, const ElementwiseArgs& args, Stream stream);  ///< y, bool condition, a, b
  void (*convert)(DType from, DType to, const ElementwiseArgs& args, Stream stream);  ///< y, x; also copies
  void (*fill)(DType dtype, const ElementwiseArgs& args, const void* value,
               Stream stream);  ///< y; value on the host
  /// y[i] = values(i) for a plain array.
  void (*sequence)(const Sequence<std::int64_t>& values, std::int64_t* y, std::int64_t n, Stream stream);
  void (*real_sequence)(const Sequence<double>& values, double* y, std::int64_t n, Stream stream);
};

/// float32 and float64; for functions of the arithmetic lists also int64, int32 and uint8, for binary ones but
/// `sub` bool.
constexpr bool supported(Unary function, DType dtype) {
#define MP_IS(name, functor) function == Unary::name ||
  const bool arithmetic = MP_ALL_UNARY_ARITHMETIC(MP_IS) false;
#undef MP_IS
  return dtype == float32 || dtype == float64 ||
         (arithmetic && (dtype == int64 || dtype == int32 || dtype == uint8));
}
constexpr bool supported(Binary function, DType dtype) {
#define MP_IS(name, functor) function == Binary::name ||
  const bool arithmetic = MP_BINARY_ARITHMETIC(MP_IS) false;
#undef MP_IS
  return dtype == float32 || dtype == float64 ||
         (arithmetic && (dtype == int64 || dtype == int32 || dtype == uint8)) ||
         (arithmetic && dtype == boolean && function != Binary::sub);
}

}  // namespace miniparallel::kernels
