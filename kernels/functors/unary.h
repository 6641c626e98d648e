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
