#pragma once

#include <miniparallel/dtype.h>

#include "kernels/macros.h"

#include <bit>
#include <cmath>
#include <cstdint>

namespace miniparallel::kernels {

constexpr bool is_half(DType dtype) { return dtype == float16 || dtype == bfloat16; }

/// IEEE binary16 to float, exact.
MP_INLINE float to_float(Half value) {
  const std::uint32_t sign = (value.bits & 0x8000u) << 16;
  const std::uint32_t magnitude = (value.bits & 0x7fffu) << 13;
  // As a float with the exponent 112 too low; multiplying by 2^112 sets it right, subnormals included.
  const float scaled = std::bit_cast<float>(magnitude) * 5.192296858534828e33f;
  const std::uint32_t bits =
      magnitude >= (0x7c00u << 13) ? magnitude | 0x7f800000u : std::bit_cast<std::uint32_t>(scaled);
  return std::bit_cast<float>(bits | sign);
}

/// float to IEEE binary16, ties to even; too large gives infinity, NaN stays NaN. Without a branch, as the
/// other conversions, so that a loop over it vectorises.
MP_INLINE Half to_half(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::int32_t magnitude = static_cast<std::int32_t>(bits & 0x7fffffffu);
  const std::int32_t sign = static_cast<std::int32_t>((bits >> 16) & 0x8000u);
  const std::int32_t normal = (magnitude + 0xfff + ((magnitude >> 13) & 1) - 0x38000000) >> 13;
  // Below 2^-14: adding 0.5 leaves the rounded subnormal in the low bits.
  const std::int32_t subnormal =
      std::bit_cast<std::int32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000;
  const std::int32_t finite = magnitude < 0x38800000 ? subnormal : normal;
  const std::int32_t number = magnitude >= 0x477ff000 ? 0x7c00 : finite;  // 65520 and above round to infinity
  return {static_cast<std::uint16_t>(sign | (magnitude > 0x7f800000 ? 0x7e00 : number))};
}

MP_INLINE float to_float(BFloat16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}

/// float to bfloat16, ties to even, NaN stays NaN.
MP_INLINE BFloat16 to_bfloat16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return {static_cast<std::uint16_t>(value != value ? (bits >> 16) | 0x40u : rounded)};
}

/// float to one of the two bfloat16 around it: up, away from zero, where the 16 bits to drop and `noise`,
/// below 2^16, carry. With random noise the mean is the value. Infinities, NaN, and what this would make
/// infinite are rounded to nearest.
MP_INLINE BFloat16 to_bfloat16(float value, std::uint32_t noise) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sum = (bits & 0x7fffffffu) + noise;
  const auto rounded = static_cast<std::uint16_t>((sum | (bits & 0x80000000u)) >> 16);
  return {sum < 0x7f800000u ? rounded : to_bfloat16(value).bits};
}

/// The value as a float that rounds to a 16-bit type as the value itself would: where it is between two
/// floats, the one whose last bit is 1 ("round to odd", Boldo, Melquiond 2008), so that it is taken neither
/// for one of the fewer numbers of that type nor for the middle between two. Rounding twice would be wrong.
MP_INLINE float to_odd_float(double value) {
  const float nearest = static_cast<float>(value);
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(nearest);
  const double back = static_cast<double>(nearest);
  const float beyond = std::bit_cast<float>(bits + (std::fabs(back) < std::fabs(value) ? 1u : ~0u));
  return back == value || bits % 2 == 1 ? nearest : beyond;
}
/// Beyond 53 bits the last ones only tell that there is a rest.
MP_INLINE float to_odd_float(std::int64_t value) {
  constexpr std::int64_t exact = std::int64_t{1} << 53, rest = 0x7ff;
  if (value > -exact && value < exact) return to_odd_float(static_cast<double>(value));
  return to_odd_float(static_cast<double>((value & ~rest) | ((value & rest) != 0 ? 0x400 : 0)));
}
MP_INLINE float to_odd_float(std::int32_t value) { return to_odd_float(static_cast<double>(value)); }
MP_INLINE float to_odd_float(std::uint8_t value) { return static_cast<float>(value); }
MP_INLINE float to_odd_float(bool value) { return static_cast<float>(value); }
MP_INLINE float to_odd_float(float value) { return value; }

/// A value of one element type as another, rounded once: from the 16-bit types through float, to bool by
/// `!= 0`, to an integer towards 0. A negative float as uint8 wraps around as an integer does (processors
/// differ where it is converted at once); what int32 cannot hold is not defined.
template <class To, class From>
MP_INLINE To convert(From value) {
  if constexpr (std::is_same_v<From, To>)
    return value;
  else if constexpr (std::is_same_v<From, Half> || std::is_same_v<From, BFloat16>)
    return convert<To>(to_float(value));
  else if constexpr (std::is_same_v<To, Half>)
    return to_half(to_odd_float(value));
  else if constexpr (std::is_same_v<To, BFloat16>)
    return to_bfloat16(to_odd_float(value));
  else if constexpr (std::is_same_v<To, bool>)
    return value != From(0);
  else if constexpr (std::is_same_v<To, std::uint8_t> && std::is_floating_point_v<From>)
    return static_cast<To>(static_cast<std::int32_t>(value));
  else
    return static_cast<To>(value);
}

}  // namespace miniparallel::kernels
