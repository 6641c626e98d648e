#pragma once

#include "kernels/macros.h"
#include "kernels/math_float64.h"
#include "kernels/math_moderate.h"

#include <bit>
#include <cmath>
#include <cstdint>

/// The functions of angles. Those of float32 are made here but on a GPU, and have no branch: sin, cos and tan
/// for Moderate operands. Others are the platform's.

namespace miniparallel::kernels::math {

#define MP_OF_STD(name)   \
  template <class T>      \
  MP_INLINE T name(T x) { \
    return std::name(x);  \
  }
MP_OF_STD(sin)
MP_OF_STD(cos)
MP_OF_STD(tan)
MP_OF_STD(asin)
MP_OF_STD(acos)
MP_OF_STD(atan)
#undef MP_OF_STD
template <class T>
MP_INLINE T atan2(T y, T x) {
  return std::atan2(y, x);
}

#if !defined(__CUDACC__)

// sin, cos and tan in float64: below 0.61 ulp. Polynomials here are minimax for the relative error.

/// x - n pi, n a multiple of 1/2: pi in three parts (Cody, Waite), the first two so short that n times them
/// is exact for moderate x.
MP_INLINE double past_multiple_of_pi(double x, double n) {
  return ((x - n * 0x1.921fb54p+1) - n * 0x1.10b461p-29) - n * 0x1.a62633145c06ep-57;
}

/// (-1)^n sin r, |r| <= pi / 2, n the last bit of `shifted`.
MP_INLINE float alternating_sin(double r, double shifted) {
  const double z = r * r;
  double p = 2.6057656904323532e-6;
  p = p * z - 1.9809596513900282e-4;
  p = p * z + 8.3330661645852515e-3;
  p = p * z - 0.16666659547508329;
  const std::uint64_t sign = std::bit_cast<std::uint64_t>(shifted) << 63;
  const double y = (p * z + 1.) * r;  // the sign of 0 as well
  return static_cast<float>(std::bit_cast<double>(std::bit_cast<std::uint64_t>(y) ^ sign));
}

inline constexpr double kInversePi = 0.31830988618379067;

MP_INLINE float sin(Moderate angle) {
  const double x = static_cast<double>(angle.value), shifted = x * kInversePi + kRounding;
  return alternating_sin(past_multiple_of_pi(x, shifted - kRounding), shifted);
}
/// (-1)^n sin((n + 1/2) pi - x)
MP_INLINE float cos(Moderate angle) {
  const double x = static_cast<double>(angle.value), shifted = x * kInversePi - 0.5 + kRounding;
  return alternating_sin(-past_multiple_of_pi(x, shifted - kRounding + 0.5), shifted);
}
/// tan r, or -1 / tan r for an odd n of x = n pi / 2 + r, by a rational function.
MP_INLINE float tan(Moderate angle) {
  const double x = static_cast<double>(angle.value), shifted = x * (2 * kInversePi) + kRounding;
  const double r = past_multiple_of_pi(x, (shifted - kRounding) * 0.5), z = r * r;
  const double sine = ((1.0747234639032317e-3 * z - 0.11135522321021826) * z + 1.) * r;
  const double cosine = (1.5970891192043376e-2 * z - 0.44468855535219515) * z + 1.;
  const bool odd = (std::bit_cast<std::uint64_t>(shifted) & 1) != 0;
  return static_cast<float>((odd ? -cosine : sine) / (odd ? sine : cosine));
}
MP_INLINE float sin(float x) { return is_moderate(x) ? sin(Moderate(x)) : std::sin(x); }
MP_INLINE float cos(float x) { return is_moderate(x) ? cos(Moderate(x)) : std::cos(x); }
MP_INLINE float tan(float x) { return is_moderate(x) ? tan(Moderate(x)) : std::tan(x); }

inline constexpr float kHalfPi = 1.57079637f, kPastHalfPi = 4.37113900e-8f;  // their difference is pi / 2

/// asin |x| = s + excess, or pi / 2 - 2 (s + excess) for |x| > 1/2 by asin x = pi/2 - 2 asin sqrt((1 - x)/2).
struct AsinParts {
  bool large;
  float s, excess;

  MP_INLINE explicit AsinParts(float x) {
    const float a = x < 0.f ? -x : x;
    large = a > 0.5f;
    const float z = large ? (1.f - a) * 0.5f : x * x;
    s = large ? std::sqrt(z) : a;
    float p = 4.21663095e-2f;
    p = p * z + 2.41795141e-2f;
    p = p * z + 4.54703761e-2f;
    p = p * z + 7.49529764e-2f;
    p = p * z + 0.166667525f;
    excess = p * z * s;
  }
};

/// asin, acos: below 1.4 ulp.
MP_INLINE float asin(float x) {
  const AsinParts parts(x);
  const float quarter = 0.5f * kHalfPi;  // so near 2 s that less is lost by rounding
  const float large = quarter + ((quarter - 2.f * parts.s) - (2.f * parts.excess + kPastHalfPi));
  return std::copysign(parts.large ? large : parts.s + parts.excess, x);
}
MP_INLINE float acos(float x) {
  const AsinParts parts(x);
  const float y = parts.s + parts.excess;
  const float left = 2.f * (kHalfPi - (y + kPastHalfPi)), right = 2.f * y;
  return parts.large ? (x < 0.f ? left : right) : kHalfPi - (std::copysign(y, x) + kPastHalfPi);
}

/// The angle of (|x|, |y|) is that of the smaller side over the larger one, or pi / 2 minus it; left of 0 pi
/// minus that. Below 1.6 ulp.
MP_INLINE float atan2(float y, float x) {
  const float width = std::abs(x), height = std::abs(y);
  const bool steep = height > width, left = std::signbit(x);
  const float side = steep ? width : height, larger = steep ? height : width;
  const float equal = larger > 0.f ? 1.f : 0.f;  // infinities as well
  const float t = side == larger ? equal : side / larger, z = t * t;
  float p = -1.79362235e-3f;
  p = p * z + 1.09146088e-2f;
  p = p * z - 3.1177852e-2f;
  p = p * z + 5.79576002e-2f;
  p = p * z - 8.40345075e-2f;
  p = p * z + 0.109521859f;
  p = p * z - 0.142642417f;
  p = p * z + 0.199985483f;
  p = p * z - 0.333332991f;
  const float angle = p * z * t + t;
  const float quarters = steep ? 1.f : left ? 2.f : 0.f;
  return std::copysign(quarters * kHalfPi + ((steep != left ? -angle : angle) - quarters * kPastHalfPi), y);
}
MP_INLINE float atan(float x) { return atan2(x, 1.f); }

#endif

}  // namespace miniparallel::kernels::math
