#pragma once

#include "kernels/macros.h"

#include <limits>

/// Operands for which a function has a form without branches, so that a loop over them vectorises.

namespace miniparallel::kernels::math {

/// A float32 that is_moderate. A functor of such operands is of the forms without branches.
struct Moderate {
  float value;
  MP_INLINE Moderate(float x) : value(x) {}
  MP_INLINE operator float() const { return value; }
};

/// For sin, cos and tan: up to 2^26, or NaN.
MP_INLINE bool is_moderate(float x) { return !((x > 67108864.f) | (x < -67108864.f)); }

/// For what divides a by b: |a / b| < 2^28, b finite.
MP_INLINE bool is_moderate(float a, float b) {
  const float dividend = a < 0.f ? -a : a, divisor = b < 0.f ? -b : b;
  return !((dividend >= divisor * 268435456.f) | (divisor > std::numeric_limits<float>::max()));
}

}  // namespace miniparallel::kernels::math
