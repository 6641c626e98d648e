#pragma once

#include "kernels/functors/common.h"

/// Activations: unary functions, as in unary.h.

namespace miniparallel::kernels::functors {

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

}  // namespace miniparallel::kernels::functors
