#pragma once

#include "kernels/macros.h"
#include "kernels/math_float64.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

/// Powers of two operands, and the root of their squares' sum. Those of float32 are made here but on a GPU,
/// without a branch.

namespace miniparallel::kernels::math {

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
MP_INLINE T hypot(T x, T y) {
  return std::hypot(x, y);
}

#if !defined(__CUDACC__)
/// |x|^y of float32's numbers by 2^(y log2 |x|) in float64, by minimax polynomials. NaN where that product is
/// none.
MP_INLINE double power_of_magnitude(double x, double y) {
  const double magnitude = x < 0. ? -x : x;
  const LogParts64 parts(magnitude);
  const double s = parts.f / (2. + parts.f), z = s * s;
  double p = 0.34073220539149410;
  p = p * z + 0.41167261063386646;
  p = p * z + 0.57708358668057839;
  p = p * z + 0.96179667333332126;
  p = p * z + 2.8853900817900925;
  const double exponent = y * logarithm(magnitude, p * s + parts.exponent);
  const double limited = exponent < -160. ? -160. : exponent > 160. ? 160. : exponent;
  const double n = nearest_whole(limited), r = limited - n;
  double q = 1.5345809871734132e-4;
  q = q * r + 1.3399933873082561e-3;
  q = q * r + 9.6184889853276452e-3;
  q = q * r + 5.5503287704148992e-2;
  q = q * r + 0.24022646890180467;
  q = q * r + 0.69314720574026888;
  q = q * r + 1.000000000554257;
  return q * power_of_2(n);
}

/// Below 0.6 ulp, as std::pow for every base and exponent.
MP_INLINE float pow(float base, float exponent) {
  const double infinity = std::numeric_limits<double>::infinity();
  const double x = static_cast<double>(base), y = static_cast<double>(exponent), half = y * 0.5;
  const bool whole = std::trunc(y) == y, even = std::trunc(half) == half;
  const double magnitude = power_of_magnitude(x, y);
  const double undefined = x > -infinity ? std::numeric_limits<double>::quiet_NaN() : magnitude;
  const double partial = x < 0. ? undefined : magnitude;
  const double power = whole ? std::copysign(magnitude, even ? 1. : x) : partial;
  const double endless = x == -1. ? std::abs(y) : 0.;
  const double defined = endless == infinity ? 1. : power;
  return static_cast<float>(y == 0. ? 1. : x == 1. ? 1. : defined);
}

/// The squares are exact in float64: below 0.51 ulp. Infinite where a side is, also beside a NaN.
MP_INLINE float hypot(float x, float y) {
  const float infinity = std::numeric_limits<float>::infinity();
  const double a = static_cast<double>(x), b = static_cast<double>(y);
  const float length = static_cast<float>(std::sqrt(a * a + b * b));
  const float beside_y = std::abs(x) == infinity ? infinity : length;
  return std::abs(y) == infinity ? infinity : beside_y;
}
#endif

}  // namespace miniparallel::kernels::math
