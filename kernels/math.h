#pragma once

#include "kernels/macros.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

/// Elementary functions for one element, host and device. The float32 ones have no branch and no table, so
/// that a loop over them vectorises; float64 uses the platform's.

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

/// An integer as the unsigned one of its size, in which sums and products wrap around as processors' do (of
/// signed ones C++ leaves that undefined); other types as they are.
template <class T>
MP_INLINE auto modular(T x) {
  if constexpr (std::is_integral_v<T> && sizeof(T) >= sizeof(int))
    return static_cast<std::make_unsigned_t<T>>(x);
  else
    return x;
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
    fraction = p * r * r + r + 1.f;
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
MP_INLINE double exp(double x) { return std::exp(x); }

/// log by x = 2^n m, sqrt(1/2) <= m < sqrt(2), and a
/// polynomial of degree 8 in m - 1 (Cephes logf): below 1 ulp.
MP_INLINE float log(float x) {
  const bool subnormal = x < 1.17549435e-38f;
  const float scaled = subnormal ? x * 8388608.f : x;
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(scaled);  // unsigned: below 0 it wraps around
  const std::int32_t n = static_cast<std::int32_t>(bits - 0x3f3504f3u) >> 23;  // 0x3f3504f3 is sqrt(1/2)
  const float m = std::bit_cast<float>(bits - (static_cast<std::uint32_t>(n) << 23)) - 1.f;
  const float e = static_cast<float>(n) - (subnormal ? 23.f : 0.f);
  const float z = m * m;
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  const float tail = p * m * z + e * -2.12194440e-4f - 0.5f * z;
  const float y = (m + tail) + e * 0.693359375f;
  const float infinity = std::numeric_limits<float>::infinity();
  const float limited = x < infinity ? y : x;  // infinity and NaN pass
  return x > 0.f ? limited : x == 0.f ? -infinity : std::numeric_limits<float>::quiet_NaN();
}
MP_INLINE double log(double x) { return std::log(x); }

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
MP_INLINE double tanh(double x) { return std::tanh(x); }

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
/// Integers multiply, as their products wrap around; a negative exponent leaves 0, but of 1 and -1.
template <class T>
MP_INLINE T pow(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    return std::pow(x, y);
  } else {
    if constexpr (std::is_signed_v<T>)
      if (y < T(0)) return x == T(1) ? T(1) : x != T(-1) ? T(0) : y % 2 == 0 ? T(1) : x;
    std::uint64_t power = 1, factor = static_cast<std::uint64_t>(x);
    for (std::uint64_t n = static_cast<std::uint64_t>(y); n > 0; n /= 2) {
      if (n % 2 == 1) power *= factor;
      factor *= factor;
    }
    return static_cast<T>(power);
  }
}
template <class T>
MP_INLINE T sin(T x) {
  return std::sin(x);
}
template <class T>
MP_INLINE T cos(T x) {
  return std::cos(x);
}

}  // namespace miniparallel::kernels::math
