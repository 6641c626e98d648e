#pragma once

#include "kernels/macros.h"
#include "kernels/math_integer.h"
#include "kernels/math_moderate.h"

#include <cmath>
#include <type_traits>

/// What division leaves, and the whole quotient.

namespace miniparallel::kernels::math {

/// a - b trunc(a / b); 0 for integers by 0.
template <class T>
MP_INLINE T fmod(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return is_degenerate(b) ? T(0) : T(a % b);
  else
    return std::fmod(a, b);
}

/// The quotient in float64 is so near that rounding reaches no whole number, and the product is exact.
MP_INLINE float fmod(Moderate a, Moderate b) {
  const double x = static_cast<double>(a.value), y = static_cast<double>(b.value);
  return std::copysign(static_cast<float>(x - std::trunc(x / y) * y), a.value);
}

/// a - b floor(a / b); 0 for integers by 0.
template <class T>
MP_INLINE T remainder(T a, T b) {
  const T rest = fmod(a, b);
  if constexpr (std::is_unsigned_v<T>)
    return rest;
  else
    return rest != T(0) && (rest < T(0)) != (b < T(0)) ? T(rest + b) : rest;
}

/// floor(a / b); 0 for integers by 0. Of floating numbers the quotient of what the rest leaves, which
/// rounding cannot lift to the next integer.
template <class T>
MP_INLINE T floor_divide(T a, T b) {
  if constexpr (std::is_unsigned_v<T>) {
    return b == T(0) ? T(0) : T(a / b);
  } else if constexpr (std::is_integral_v<T>) {
    if (is_degenerate(b)) return b == T(0) ? T(0) : T(-modular(a));
    return T(a / b - (a % b != 0 && (a < T(0)) != (b < T(0)) ? 1 : 0));
  } else {
    if (b == T(0)) return a / b;
    const T rest = std::fmod(a, b), quotient = (a - rest) / b;
    const T lower = rest != T(0) && (rest < T(0)) != (b < T(0)) ? quotient - T(1) : quotient;
    return lower == T(0) ? std::copysign(T(0), a / b) : std::nearbyint(lower);
  }
}
MP_INLINE float floor_divide(Moderate a, Moderate b) {
  return static_cast<float>(std::floor(static_cast<double>(a.value) / static_cast<double>(b.value)));
}

}  // namespace miniparallel::kernels::math
