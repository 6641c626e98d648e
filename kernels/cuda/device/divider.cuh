#pragma once

#include "kernels/macros.h"

#include <bit>
#include <cstdint>

namespace miniparallel::kernels::cuda {

/// Division of numbers below 2^31 by the same divisor as a multiplication and a shift: n / d =
/// (n + floor(n m / 2^32)) >> s with s = ceil(log2 d) and m = floor(2^32 (2^s - d) / d) + 1. (Granlund,
/// Montgomery: "Division by invariant integers using multiplication", 1994.)
class Divider {
 public:
  Divider() = default;
  /// 1 <= divisor < 2^31
  explicit Divider(std::uint32_t divisor)
      : divisor_(divisor),
        shift_(static_cast<std::uint32_t>(std::bit_width(divisor - 1))),
        multiplier_(static_cast<std::uint32_t>(
            (std::uint64_t{1} << 32) * ((std::uint64_t{1} << shift_) - divisor) / divisor + 1)) {}

  /// n becomes n / divisor; returns n % divisor.
  MP_INLINE std::uint32_t divide(std::uint32_t& n) const {
    const std::uint32_t high =
        static_cast<std::uint32_t>((static_cast<std::uint64_t>(n) * multiplier_) >> 32);
    const std::uint32_t quotient = (n + high) >> shift_;
    const std::uint32_t remainder = n - quotient * divisor_;
    n = quotient;
    return remainder;
  }

 private:
  std::uint32_t divisor_ = 1, shift_ = 0, multiplier_ = 1;
};

}  // namespace miniparallel::kernels::cuda
