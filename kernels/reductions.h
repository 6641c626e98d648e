#pragma once

#include "kernels/macros.h"
#include "kernels/math.h"

#include <cstdint>
#include <limits>
#include <type_traits>

/// The formulas of reductions, for one element, host and device.

namespace miniparallel::kernels {

/// The type in which sums are accumulated.
template <class T>
using Wide = std::conditional_t<std::is_floating_point_v<T>, double, std::int64_t>;

/// A reduction: `load` turns an element into an accumulator, `combine` is associative up to rounding.
template <class T>
struct SumOf {
  using Input = T;
  using Accumulator = Wide<T>;
  static constexpr Accumulator initial = 0;
  static constexpr bool in_blocks = false;
  MP_INLINE static Accumulator load(T x, T) { return static_cast<Accumulator>(x); }
  MP_INLINE static Accumulator combine(Accumulator a, Accumulator b) {
    return static_cast<Accumulator>(math::modular(a) + math::modular(b));
  }
};

template <class T>
struct SumOfSquares : SumOf<T> {
  MP_INLINE static double load(T x, T center) {
    const double difference = static_cast<double>(x) - static_cast<double>(center);
    return difference * difference;
  }
};

template <class T>
struct MaxOf {
  using Input = T;
  using Accumulator = T;
  static constexpr T initial =
      std::is_floating_point_v<T> ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::lowest();
  static constexpr bool in_blocks = true;
  MP_INLINE static T load(T x, T) { return x; }
  MP_INLINE static T combine(T a, T b) {
    const T larger = b > a ? b : a;  // a when a is NaN
    return b != b ? b : larger;
  }
};

template <class T>
struct MinOf {
  using Input = T;
  using Accumulator = T;
  static constexpr T initial =
      std::is_floating_point_v<T> ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max();
  static constexpr bool in_blocks = true;
  MP_INLINE static T load(T x, T) { return x; }
  MP_INLINE static T combine(T a, T b) {
    const T smaller = b < a ? b : a;
    return b != b ? b : smaller;
  }
};

}  // namespace miniparallel::kernels
