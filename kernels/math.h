#pragma once

#include "kernels/macros.h"
#include "kernels/math_division.h"
#include "kernels/math_float64.h"
#include "kernels/math_integer.h"
#include "kernels/math_power.h"
#include "kernels/math_trigonometry.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

/// Elementary functions for one element, host and device. Those of float32 have no branch and no
/// table, so that a loop over them vectorises, nor on the host have exp, log and tanh of float64;
/// others are the platform's. On a GPU also the functions of angles, powers, sinh and cosh are.

namespace miniparallel::kernels::math {

template <class T>
MP_INLINE T select(bool condition, T a, T b) {
  return condition ? a : b;
}

template <class T>
MP_INLINE T zero(T) {
  return T(0);
}

/// The nearest value that T has.
template <class T>
MP_INLINE T saturated(double value) {
  if constexpr (std::is_integral_v<T>) {
    if (!(value > static_cast<double>(std::numeric_limits<T>::lowest())))
      return std::numeric_limits<T>::lowest();
    if (value >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  }
  return static_cast<T>(value);
}

/// A parameter of a function as a T; integers of any size take it modulo 2^64.
template <class T>
MP_INLINE T parameter(double value) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<std::int64_t>(value));
  else
    return static_cast<T>(value);
}

/// e^r and 2^n of x = n ln 2 + r, |r| <= ln 2 / 2, the first by its Taylor polynomial of degree 7.
struct ExpParts {
  float minus_1;  ///< e^r - 1, exact where r is small
  float fraction;
  std::int32_t exponent;

  MP_INLINE explicit ExpParts(float x) {
    const float shifted = x * 1.44269504f + 12582912.f;  // 1.5 * 2^23: the sum's low bits are round(x / ln 2)
    const float n = shifted - 12582912.f;
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts (Cody, Waite)
    float p = 1.f / 5040;
    p = p * r + 1.f / 720;
    p = p * r + 1.f / 120;
    p = p * r + 1.f / 24;
    p = p * r + 1.f / 6;
    p = p * r + 0.5f;
    minus_1 = p * r * r + r;
    fraction = minus_1 + 1.f;
    exponent = std::bit_cast<std::int32_t>(shifted) - std::bit_cast<std::int32_t>(12582912.f);
  }
};

/// 2^n, -127 < n < 128
MP_INLINE float power_of_2(std::int32_t n) { return std::bit_cast<float>((n + 127) << 23); }

/// exp: below 1.5 ulp.
MP_INLINE float exp(float x) {
  const ExpParts parts(x < -104.f ? -104.f : x > 89.f ? 89.f : x);
  const std::int32_t half = parts.exponent >> 1;  // two factors reach the subnormals and infinity
  const float y = parts.fraction * power_of_2(half) * power_of_2(parts.exponent - half);
  return x == x ? y : x;
}

/// exp(x) - 1 = 2^n (e^r - 1) + (2^n - 1): below 2 ulp. Below -18 it rounds to -1, above 60 to exp(x).
MP_INLINE float expm1(float x) {
  const float limited = x < -18.f ? -18.f : x > 60.f ? 60.f : x;
  const ExpParts parts(limited);
  const float power = power_of_2(parts.exponent);
  const float y = power * parts.minus_1 + (power - 1.f);
  const float large = exp(x);
  return x <= 60.f ? y : large;  // NaN passes
}
MP_INLINE double expm1(double x) { return std::expm1(x); }

/// log(1 + f) and n of x = 2^n (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), the first by a polynomial of degree 8
/// (Cephes logf): it is f + polynomial - square. For x > 0.
struct LogParts {
  float f, polynomial, square, exponent;

  MP_INLINE explicit LogParts(float x) {
    const bool subnormal = x < 1.17549435e-38f;
    const float scaled = subnormal ? x * 8388608.f : x;
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(scaled);  // unsigned: below 0 it wraps around
    const std::int32_t n = static_cast<std::int32_t>(bits - 0x3f3504f3u) >> 23;  // 0x3f3504f3 is sqrt(1/2)
    f = std::bit_cast<float>(bits - (static_cast<std::uint32_t>(n) << 23)) - 1.f;
    exponent = static_cast<float>(n) - (subnormal ? 23.f : 0.f);
    const float z = f * f;
    float p = 7.0376836292e-2f;
    p = p * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    polynomial = p * f * z;
    square = 0.5f * z;
  }
};

/// `y`, a logarithm of x, where x > 0 and finite; else what a logarithm of x is.
MP_INLINE float logarithm(float x, float y) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float limited = x < infinity ? y : x;  // infinity and NaN pass
  return x > 0.f ? limited : x == 0.f ? -infinity : std::numeric_limits<float>::quiet_NaN();
}

/// log: below 1 ulp.
MP_INLINE float log(float x) {
  const LogParts parts(x);
  const float tail = parts.polynomial + parts.exponent * -2.12194440e-4f - parts.square;
  return logarithm(x, (parts.f + tail) + parts.exponent * 0.693359375f);
}

/// log2, log10: below 2 ulp, exact for powers of the base (Cephes log2f, log10f: constants in two parts).
MP_INLINE float log2(float x) {
  const LogParts parts(x);
  const float tail = parts.polynomial - parts.square;
  const float y = tail * 0.44269504f + parts.f * 0.44269504f + tail + parts.f;
  return logarithm(x, y + parts.exponent);
}
MP_INLINE double log2(double x) { return std::log2(x); }
MP_INLINE float log10(float x) {
  const LogParts parts(x);
  const float tail = parts.polynomial - parts.square;
  const float y = (parts.f + tail) * 7.00731903e-4f + tail * 4.3359375e-1f + parts.f * 4.3359375e-1f;
  return logarithm(x, y + parts.exponent * 2.48745664e-4f + parts.exponent * 3.0078125e-1f);
}
MP_INLINE double log10(double x) { return std::log10(x); }

/// log(1 + x): what 1 + x has lost by rounding is added to its logarithm. Below 2 ulp.
MP_INLINE float log1p(float x) {
  const float u = 1.f + x;
  const float y = log(u), lost = (x - (u - 1.f)) / u;
  return u > 0.f && x < 1e8f ? y + lost : y;
}
MP_INLINE double log1p(double x) { return std::log1p(x); }

/// tanh: an odd polynomial below 0.625 (Cephes tanhf), 1 - 2 / (e^2x + 1) above.
MP_INLINE float tanh(float x) {
  const float a = x < 0.f ? -x : x;
  const float z = x * x;
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const float small = p * z * x + x;
  const ExpParts parts(2.f * (a > 9.1f ? 9.1f : a));  // tanh 9.1 rounds to 1
  const float large = 1.f - 2.f / (parts.fraction * power_of_2(parts.exponent) + 1.f);
  const float signed_large = x < 0.f ? -large : large;
  return a < 0.625f ? small : signed_large;
}

template <class T>
MP_INLINE T sinh(T x) {
  return std::sinh(x);
}
template <class T>
MP_INLINE T cosh(T x) {
  return std::cosh(x);
}
#if !defined(__CUDACC__)
/// e^|x| / 2: two factors reach infinity.
MP_INLINE float half_exp(float x) {
  const float a = x < 0.f ? -x : x;
  const ExpParts parts(a > 90.f ? 90.f : a);
  const std::int32_t n = parts.exponent - 1, half = n >> 1;
  return parts.fraction * power_of_2(half) * power_of_2(n - half);
}
/// sinh: below 1 a polynomial fitted to the least relative error. sinh, cosh: below 1.7 ulp.
MP_INLINE float sinh(float x) {
  const float z = x * x;
  float p = 2.81695122e-6f;
  p = p * z + 1.98361598e-4f;
  p = p * z + 8.33335006e-3f;
  p = p * z + 0.166666665f;
  const float small = p * z * x + x;
  const float half = half_exp(x);
  const float large = std::copysign(half - 0.25f / half, x);
  return z < 1.f ? small : large;
}
MP_INLINE float cosh(float x) {
  const float half = half_exp(x);
  return half + 0.25f / half;
}
#endif

/// erf: x times a polynomial in x^2 below 0.93, 1 - e^p(x) above with p a polynomial that fits log erfc up to
/// 4, from where erf rounds to 1. Both fitted to the least relative error, 2e-8 and 3e-9: below 1.2 ulp.
MP_INLINE float erf(float x) {
  const float a = x < 0.f ? -x : x;
  const float z = x * x;
  float q = -5.90792205e-4f;
  q = q * z + 4.97682439e-3f;
  q = q * z - 2.67554317e-2f;
  q = q * z + 1.12815075e-1f;
  q = q * z - 3.76124650e-1f;
  q = q * z + 1.28379151e-1f;
  const float small = q * x + x;
  const float t = a > 4.f ? 4.f : a;
  float p = 2.13985026e-4f;
  p = p * t - 3.21495626e-3f;
  p = p * t + 2.28899661e-2f;
  p = p * t - 1.05261855e-1f;
  p = p * t - 6.35718286e-1f;
  p = p * t - 1.28514364e-1f;
  const ExpParts parts(p * t - t);
  const float large = 1.f - parts.fraction * power_of_2(parts.exponent);
  const float signed_large = x < 0.f ? -large : large;
  return a < 0.93f ? small : signed_large;
}
MP_INLINE double erf(double x) { return std::erf(x); }

/// The inverse of erf by polynomials in the logarithm of 1 - x^2: below 4 ulp. (Giles: "Approximating the
/// erfinv function", 2012.)
MP_INLINE float erfinv(float x) {
  const float log_of = -log((1.f - x) * (1.f + x));
  const float w = log_of - 2.5f;
  float p = 2.81022636e-8f;
  p = p * w + 3.43273939e-7f;
  p = p * w - 3.5233877e-6f;
  p = p * w - 4.39150654e-6f;
  p = p * w + 2.1858087e-4f;
  p = p * w - 1.25372503e-3f;
  p = p * w - 4.17768164e-3f;
  p = p * w + 2.46640727e-1f;
  p = p * w + 1.50140941f;
  const float v = std::sqrt(log_of) - 3.f;
  float q = -2.00214257e-4f;
  q = q * v + 1.00950558e-4f;
  q = q * v + 1.34934322e-3f;
  q = q * v - 3.67342844e-3f;
  q = q * v + 5.73950773e-3f;
  q = q * v - 7.6224613e-3f;
  q = q * v + 9.43887047e-3f;
  q = q * v + 1.00167406f;
  q = q * v + 2.83297682f;
  const float y = (log_of < 5.f ? p : q) * x;
  const float ends = x * std::numeric_limits<float>::infinity();
  return x == 1.f || x == -1.f ? ends : y;
}
/// Winitzki's formula, which is right to 2 parts in 1000, and two of Halley's steps, each of which triples
/// the digits. erfc keeps those of the distance from 1.
MP_INLINE double erfinv(double x) {
  const double a = x < 0 ? -x : x;
  if (a == 1) return x * std::numeric_limits<double>::infinity();
  const double w = -std::log((1 - a) * (1 + a)), t = 4.3307467508799836 - w / 2;  // 2 / (0.147 pi)
  double y = std::sqrt(std::sqrt(t * t + w / 0.147) - t);
  for (int step = 0; step < 2; ++step) {
    const double error = a < 0.5 ? std::erf(y) - a : (1 - a) - std::erfc(y);
    const double newton = error * 0.88622692545275801 * std::exp(y * y);
    y -= newton / (1 + y * newton);
  }
  return x < 0 ? -y : y;
}

template <class T>
MP_INLINE T sigmoid(T x) {
  return T(1) / (T(1) + exp(-x));
}

template <class T>
MP_INLINE T sqrt(T x) {
  return std::sqrt(x);
}
template <class T>
MP_INLINE T abs(T x) {
  if constexpr (std::is_unsigned_v<T>)
    return x;
  else
    return x < T(0) ? T(-modular(x)) : x == T(0) ? T(0) : x;
}
/// log(1 + exp(x))
template <class T>
MP_INLINE T softplus(T x) {
  return (x > T(0) ? x : T(0)) + log1p(exp(-abs(x)));
}

// Of integers, which are whole already, as they are.

#define MP_OF_STD(name, standard)        \
  template <class T>                     \
  MP_INLINE T name(T x) {                \
    if constexpr (std::is_integral_v<T>) \
      return x;                          \
    else                                 \
      return std::standard(x);           \
  }
MP_OF_STD(floor, floor)
MP_OF_STD(ceil, ceil)
MP_OF_STD(round, nearbyint)
MP_OF_STD(trunc, trunc)
#undef MP_OF_STD

}  // namespace miniparallel::kernels::math
