#pragma once

#include "kernels/functors/common.h"

/// Unary functions: y = forward(x), dx = backward(g, saved). Those with parameters are in parametrised.h.

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

/// A function that is constant except where it jumps.
struct Step {
  static constexpr Saves saves = Saves::nothing;
  template <class T>
  MP_INLINE static T backward(T g, T, double, double) {
    return zero(g);
  }
};

struct Sign : Step {
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    if constexpr (std::is_unsigned_v<T>)
      return T(x > 0);
    else
      return T((x > 0) - (x < 0));
  }
};

struct Floor : Step {
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return floor(x);
  }
};

struct Ceil : Step {
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return ceil(x);
  }
};

struct Round : Step {
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return round(x);
  }
};

struct Trunc : Step {
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return trunc(x);
  }
};

}  // namespace miniparallel::kernels::functors
