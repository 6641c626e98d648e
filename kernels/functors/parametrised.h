#pragma once

#include "kernels/functors/common.h"

/// Unary functions with parameters p and q: y = forward(x, p, q), dx = backward(g, saved, p, q).

namespace miniparallel::kernels::functors {

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
