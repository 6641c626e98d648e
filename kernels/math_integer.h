#pragma once

#include "kernels/macros.h"

#include <type_traits>

/// What arithmetic of integers leaves undefined in C++.

namespace miniparallel::kernels::math {

/// An integer as the unsigned one of its size, in which sums and products wrap around as processors' do (of
/// signed ones C++ leaves that undefined); other types as they are.
template <class T>
MP_INLINE auto modular(T x) {
  if constexpr (std::is_integral_v<T> && sizeof(T) >= sizeof(int))
    return static_cast<std::make_unsigned_t<T>>(x);
  else
    return x;
}

/// Whether b is 0, or -1, by which processors do not divide the least number either.
template <class T>
MP_INLINE bool is_degenerate(T b) {
  if constexpr (std::is_signed_v<T>)
    return b == T(0) || b == T(-1);
  else
    return b == T(0);
}

}  // namespace miniparallel::kernels::math
