#pragma once

#include "kernels/macros.h"

#include <cmath>
#include <cstdint>
#include <type_traits>

namespace miniparallel::kernels {

/// start + i step for element i. Reals are rounded once, integers modulo 2^64: the same on every device.
template <class T>
struct Sequence {
  T start, step;

  MP_INLINE T operator()(std::int64_t i) const {
    if constexpr (std::is_floating_point_v<T>)
      return std::fma(static_cast<T>(i), step, start);
    else
      return static_cast<T>(static_cast<std::uint64_t>(start) +
                            static_cast<std::uint64_t>(i) * static_cast<std::uint64_t>(step));
  }
};

}  // namespace miniparallel::kernels
