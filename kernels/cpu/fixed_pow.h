#pragma once

#include "kernels/macros.h"
#include "kernels/math.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

/// Powers by products and a root, for exponents that are known when a loop is compiled. Forced inline: see
/// lanes.h.

namespace miniparallel::kernels::cpu {

/// The exponents, in halves: usual ones and those of their derivatives.
inline constexpr int kLeastHalves = -6, kMostHalves = 8;

/// The inverse of x, or of its root, in float64: one in float32 and a step of Newton's, which gives more
/// digits than float32 has, without the slow division of float64. `rest` is 1 - x rough, or no number where x
/// has no finite inverse: the rough one is right there.
MP_INLINE double refined(double rough, double rest, double weight) {
  return rough * (1. + weight * (rest > -1. ? rest : 0.));
}
MP_INLINE double inverse(float x) {
  const double rough = static_cast<double>(1.f / x);
  return refined(rough, 1. - static_cast<double>(x) * rough, 1.);
}
MP_INLINE double inverse_root(float x) {
  const double rough = static_cast<double>(1.f / std::sqrt(x));
  return refined(rough, 1. - static_cast<double>(x) * rough * rough, 0.5);
}
MP_INLINE double inverse(double x) { return 1. / x; }
MP_INLINE double inverse_root(double x) { return 1. / std::sqrt(x); }

template <int n, class T>
MP_INLINE T whole_power(T x) {
  if constexpr (n <= 1) {
    return n == 0 ? T(1) : x;
  } else {
    const T half = whole_power<n / 2>(x);
    return n % 2 == 0 ? half * half : half * half * x;
  }
}

/// base^(halves / 2): float32 below 1 ulp, below 2 for the exponent -2; float64 below 3. As std::pow at 0,
/// infinities and NaN.
template <int halves, class T>
MP_INLINE T fixed_pow(T base) {
  constexpr int whole = (halves < 0 ? -halves : halves) / 2;
  if constexpr (halves % 2 != 0) {
    // -0 becomes 0 and -infinity infinity: the root has no sign.
    const T positive = base == -std::numeric_limits<T>::infinity() ? -base : base + T(0);
    if constexpr (halves == 1) return std::sqrt(positive);
    if constexpr (halves == -1) return T(1) / std::sqrt(positive);
    if constexpr (halves < 0)
      return static_cast<T>(inverse_root(positive) * whole_power<whole>(inverse(positive)));
    const double x = static_cast<double>(positive);
    return static_cast<T>(std::sqrt(x) * whole_power<whole>(x));
  } else if constexpr (halves >= -4 && halves <= 6) {  // so few steps that float32 needs no help
    return whole_power<whole>(halves < 0 ? T(1) / base : base);
  } else {
    return static_cast<T>(whole_power<whole>(halves < 0 ? inverse(base) : static_cast<double>(base)));
  }
}

template <int halves>
struct FixedPow {
  template <class T>
  MP_INLINE T operator()(T base) const {
    return fixed_pow<halves>(base);
  }
};

/// base^p of float32 for a finite p, by logarithms: below 0.6 ulp; as std::pow for every base.
class FinitePow {
 public:
  MP_INLINE explicit FinitePow(double exponent) : exponent_(exponent) {
    const bool whole = std::trunc(exponent) == exponent, odd = whole && std::fmod(exponent, 2) != 0;
    sign_ = odd ? std::uint64_t{1} << 63 : 0;
    undefined_above_ = whole ? 0. : -std::numeric_limits<double>::infinity();
  }
  MP_INLINE float operator()(float base) const {
    const double x = static_cast<double>(base);
    const double power = math::power_of_magnitude(x, exponent_);
    const std::uint64_t sign = std::bit_cast<std::uint64_t>(x) & sign_;
    const double y = std::bit_cast<double>(std::bit_cast<std::uint64_t>(power) | sign);
    const bool undefined = (x < 0.) & (x > undefined_above_);
    return static_cast<float>(undefined ? std::numeric_limits<double>::quiet_NaN() : y);
  }

 private:
  double exponent_;
  std::uint64_t sign_;      // of the base, which the power keeps
  double undefined_above_;  // up to 0
};

/// Calls f<halves>() where the exponent is halves / 2 and one of these; tells whether.
template <int halves = kLeastHalves, class F>
MP_INLINE bool with_fixed_exponent(double exponent, const F& f) {
  if constexpr (halves <= kMostHalves) {
    if (exponent * 2 != halves) return with_fixed_exponent<halves + 1>(exponent, f);
    f.template operator()<halves>();
    return true;
  }
  return false;
}

}  // namespace miniparallel::kernels::cpu
