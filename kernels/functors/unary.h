#pragma once

#include "kernels/functors/common.h"

/// Unary functions: y = forward(x), dx = backward(g, saved).
/// p and q are the parameters of a parametrised function; `op` is the name that users know, where the row has
/// another.

namespace miniparallel::kernels::functors {

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

struct Expm1 {
  static constexpr Saves saves = Saves::output;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return expm1(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T y, double, double) {
    return g * (y + 1);
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

struct Log1p {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return log1p(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double, double) {
    return g / (x + 1);
  }
};

struct Log2 {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return log2(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double, double) {
    return g / (x * constant<T>(0.69314718055994531));
  }
};

struct Log10 {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return log10(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double, double) {
    return g / (x * constant<T>(2.3025850929940457));
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

struct Rsqrt {
  static constexpr Saves saves = Saves::output;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return 1 / sqrt(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T y, double, double) {
    return g * constant<T>(-0.5) * y * y * y;
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

struct Tan {
  static constexpr Saves saves = Saves::output;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return tan(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T y, double, double) {
    return g * (1 + y * y);
  }
};

struct Asin {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return asin(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double, double) {
    return g / sqrt(1 - x * x);
  }
};

struct Acos {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return acos(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double, double) {
    return -g / sqrt(1 - x * x);
  }
};

struct Atan {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return atan(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double, double) {
    return g / (1 + x * x);
  }
};

struct Sinh {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return sinh(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double, double) {
    return g * cosh(x);
  }
};

struct Cosh {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return cosh(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double, double) {
    return g * sinh(x);
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

struct Erfinv {
  static constexpr Saves saves = Saves::output;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return erfinv(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T y, double, double) {
    return g * exp(y * y) * constant<T>(0.88622692545275801);
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

// Steps: constant but where they jump.

struct Sign {
  static constexpr Saves saves = Saves::nothing;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    if constexpr (std::is_unsigned_v<T>)
      return T(x > 0);
    else
      return T((x > 0) - (x < 0));
  }
  template <class T>
  MP_INLINE static T backward(T g, T, double, double) {
    return zero(g);
  }
};

struct Floor {
  static constexpr Saves saves = Saves::nothing;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return floor(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T, double, double) {
    return zero(g);
  }
};

struct Ceil {
  static constexpr Saves saves = Saves::nothing;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return ceil(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T, double, double) {
    return zero(g);
  }
};

struct Round {
  static constexpr Saves saves = Saves::nothing;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return round(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T, double, double) {
    return zero(g);
  }
};

struct Trunc {
  static constexpr Saves saves = Saves::nothing;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return trunc(x);
  }
  template <class T>
  MP_INLINE static T backward(T g, T, double, double) {
    return zero(g);
  }
};

// With parameters.

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

}  // namespace miniparallel::kernels::functors
