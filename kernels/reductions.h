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

/// combine(combine(load(a), load(b)), combine(load(c), load(d))).
template <class F>
MP_INLINE typename F::Accumulator combined_four(const typename F::Input (&x)[4], typename F::Input center) {
  return F::combine(F::combine(F::load(x[0], center), F::load(x[1], center)),
                    F::combine(F::load(x[2], center), F::load(x[3], center)));
}

/// A reduction: `load` turns an element into an accumulator, `load_four` four of them; `combine` is
/// associative up to rounding.
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
  /// float32 adds four elements in its own type, which takes half the time: an error as of the elements'
  /// last bits, that does not grow with their number.
  MP_INLINE static Accumulator load_four(T a, T b, T c, T d, T center) {
    if constexpr (std::is_same_v<T, float>)
      return load((a + b) + (c + d), center);
    else
      return combined_four<SumOf>({a, b, c, d}, center);
  }
};

template <class T>
struct SumOfSquares : SumOf<T> {
  MP_INLINE static double load(T x, T center) {
    const double difference = static_cast<double>(x) - static_cast<double>(center);
    return difference * difference;
  }
  MP_INLINE static double load_four(T a, T b, T c, T d, T center) {
    return combined_four<SumOfSquares>({a, b, c, d}, center);
  }
};

template <class T>
struct ProductOf : SumOf<T> {
  using Accumulator = Wide<T>;
  static constexpr Accumulator initial = 1;
  MP_INLINE static Accumulator combine(Accumulator a, Accumulator b) {
    return static_cast<Accumulator>(math::modular(a) * math::modular(b));
  }
  MP_INLINE static Accumulator load_four(T a, T b, T c, T d, T center) {
    return combined_four<ProductOf>({a, b, c, d}, center);
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
  MP_INLINE static T load_four(T a, T b, T c, T d, T center) {
    return combined_four<MaxOf>({a, b, c, d}, center);
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
  MP_INLINE static T load_four(T a, T b, T c, T d, T center) {
    return combined_four<MinOf>({a, b, c, d}, center);
  }
};

}  // namespace miniparallel::kernels
