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

/// x tanh(log(1 + exp(x))). (Misra 2019.)
struct Mish {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    const T e = exp(x < T(20) ? x : T(20)), n = e * (e + 2);  // tanh(log(1 + e)) = n / (n + 2)
    return x < T(20) ? x * (n / (n + 2)) : x;
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double, double) {
    const T t = tanh(softplus(x));
    return g * (t + x * sigmoid(x) * (1 - t * t));
  }
};

struct LogSigmoid {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return -softplus(T(-x));
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double, double) {
    return g * sigmoid(T(-x));
  }
};

struct Softsign {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    return x / (1 + abs(x));
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double, double) {
    const T scale = 1 + abs(x);
    return g / (scale * scale);
  }
};

struct HardSigmoid {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    const T y = x * constant<T>(1.0 / 6) + constant<T>(0.5);
    return y < 0 ? T(0) : y > 1 ? T(1) : y;
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double, double) {
    return select(x > -3, select(x < 3, T(g * constant<T>(1.0 / 6)), zero(g)), zero(g));
  }
};

struct HardSwish {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double, double) {
    const T y = x + 3;
    return x * (y < 0 ? T(0) : y > 6 ? T(6) : y) * constant<T>(1.0 / 6);
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double, double) {
    const T slope = g * (x * constant<T>(1.0 / 3) + constant<T>(0.5));
    return select(x <= -3, zero(g), select(x >= 3, g, slope));  // NaN stays
  }
};

// With parameters.

/// p: the slope below 0.
struct LeakyRelu {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double p, double) {
    return x > 0 ? x : x * T(p);
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double p, double) {
    return select(x > 0, g, T(g * constant<T>(p)));
  }
};

/// q x, or q p (exp(x) - 1) below 0. (Clevert et al. 2016; with q, Klambauer et al. 2017.)
struct Elu {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double p, double q) {
    return T(q) * (x > 0 ? x : T(p) * expm1(x));
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double p, double q) {
    const T below = select(x > 0, zero(x), x);  // no overflow above, which would reach the second derivative
    return g * select(x > 0, T(zero(x) + constant<T>(q)), T(exp(below) * constant<T>(p * q)));
  }
};

/// x, or p (exp(x / p) - 1) below 0. (Barron 2017.)
struct Celu {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double p, double) {
    return x > 0 ? x : T(p) * expm1(x / T(p));
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double p, double) {
    const T below = select(x > 0, zero(x), x);
    return g * exp(below / constant<T>(p));
  }
};

/// log(1 + exp(p x)) / p; x itself where p x is above q.
struct Softplus {
  static constexpr Saves saves = Saves::input;
  template <class T>
  MP_INLINE static T forward(T x, double p, double q) {
    const T z = x * T(p);
    return z > T(q) ? x : softplus(z) / T(p);
  }
  template <class T>
  MP_INLINE static T backward(T g, T x, double p, double q) {
    const T z = x * constant<T>(p);
    return select(z > constant<T>(q), g, T(g * sigmoid(z)));
  }
};

}  // namespace miniparallel::kernels::functors
