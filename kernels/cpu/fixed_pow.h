#pragma once

#include "kernels/macros.h"

#include <cmath>
#include <cstdint>
#include <limits>

/// Powers by products and a root, for exponents that are known when a loop is compiled. Forced inline: see
/// lanes.h.

namespace miniparallel::kernels::cpu {

/// The exponents, in halves: usual ones and those of their derivatives.
inline constexpr int kLeastHalves = -6, kMostHalves = 8;

/// base^(halves / 2): float32 below 1 ulp, float64 below 3. As std::pow at 0, infinities and NaN.
template <int halves, class T>
MP_INLINE T fixed_pow(T base) {
  const double x = static_cast<double>(base);
  double factor = halves < 0 ? 1. / x : x, power = 1.;
  if constexpr (halves % 2 != 0) {
    // -0 becomes 0 and -infinity infinity: the root has no sign.
    const double positive = x == -std::numeric_limits<double>::infinity() ? -x : x + 0.;
    const double root = std::sqrt(positive);
    power = halves < 0 ? 1. / root : root;
    factor = halves < 0 ? 1. / positive : positive;
  }
  for (int n = (halves < 0 ? -halves : halves) / 2; n > 0; n /= 2) {
    if (n % 2 == 1) power *= factor;
    factor *= factor;
  }
  return static_cast<T>(power);
}

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
