#pragma once

#include "kernels/math.h"
#include "kernels/philox.h"

#include <bit>
#include <cstdint>

/// Streams of random words and the numbers made of them, element by element: the same on host and device.

namespace miniparallel::kernels {

/// Where a generator stands.
struct RandomStart {
  std::uint64_t seed, ordinal;
};

/// Names one stream: the seed is Philox's key, the ordinal of the call the counter's high half.
struct RandomKey {
  std::uint64_t seed = 0;
  std::uint64_t ordinal = 0;
  std::int64_t first = 0;  ///< position in the stream of the call's element 0
  /// In the memory of the GPU that uses the key: what seed and ordinal are counted from when it does.
  const RandomStart* start = nullptr;

  /// The key without a `start`.
  MP_INLINE RandomKey resolved() const {
    if (start == nullptr) return *this;
    return {seed + start->seed, ordinal + start->ordinal, first, nullptr};
  }
};

/// Words 4 * block .. 4 * block + 3 of the stream.
MP_INLINE PhiloxBlock random_words(const RandomKey& key, std::uint64_t block) {
  return philox(key.seed, block, key.ordinal);
}

/// 64 random bits for an element: words 2 * element and 2 * element + 1 of the stream.
MP_INLINE std::uint64_t random_bits(const RandomKey& key, std::uint64_t element) {
  const PhiloxBlock block = random_words(key, element / 2);
  const std::uint32_t* w = block.word + element % 2 * 2;
  return static_cast<std::uint64_t>(w[0]) << 32 | w[1];
}

/// Elements for which the words of one block are 16 random bits each.
inline constexpr int kShortsOfBlock = 8;
/// Those of the block's element k.
MP_INLINE std::uint32_t random_short(const PhiloxBlock& block, int k) {
  const std::uint32_t even = k < 4 ? block.word[0] : block.word[2];
  const std::uint32_t odd = k < 4 ? block.word[1] : block.word[3];
  return (k % 4 < 2 ? even : odd) >> (k % 2 * 16) & 0xffffu;
}

/// bits * range / 2^64, an integer in [0, range); its bias is below range / 2^64.
MP_INLINE std::uint64_t scale_to_range(std::uint64_t bits, std::uint64_t range) {
  const std::uint64_t high = bits >> 32, low = bits & 0xffffffffu;
  const std::uint64_t range_high = range >> 32, range_low = range & 0xffffffffu;
  const std::uint64_t carry = (low * range_low) >> 32;
  const std::uint64_t middle = high * range_low + carry;
  const std::uint64_t cross = low * range_high + (middle & 0xffffffffu);
  return high * range_high + (middle >> 32) + (cross >> 32);
}

/// sin(pi t) and cos(pi t) for -1 <= t < 1, without a branch: t = q / 2 + r with |r| <= 1/4, Taylor
/// polynomials of r, swapped and signed by q.
MP_INLINE void sincos_pi(float t, float& sine, float& cosine) {
  const float shifted = 2.f * t + 12582912.f;  // 1.5 * 2^23: the sum's low bits are round(2 t)
  const std::int32_t q = std::bit_cast<std::int32_t>(shifted);
  const float a = (t - 0.5f * (shifted - 12582912.f)) * 3.14159265f, z = a * a;
  const float s = a + a * z * (-1.f / 6 + z * (1.f / 120 + z * (-1.f / 5040 + z * (1.f / 362880))));
  const float c = 1.f + z * (-0.5f + z * (1.f / 24 + z * (-1.f / 720 + z * (1.f / 40320))));
  const float even = (q & 1) != 0 ? c : s, odd = (q & 1) != 0 ? s : c;
  sine = (q & 2) != 0 ? -even : even;
  cosine = ((q + 1) & 2) != 0 ? -odd : odd;
}

/// Two independent normal numbers (Box, Muller 1958) from two words, 0 < u1 <= 1.
MP_INLINE void box_muller(std::uint32_t w1, std::uint32_t w2, float& z1, float& z2) {
  const float u1 = static_cast<float>(w1) * 0x1p-32f + 0x1p-33f;
  float sine, cosine;
  sincos_pi(static_cast<float>(static_cast<std::int32_t>(w2)) * 0x1p-31f, sine, cosine);
  const float radius = math::sqrt(-2.f * math::log(u1));
  z1 = radius * cosine;
  z2 = radius * sine;
}
MP_INLINE void box_muller(std::uint64_t w1, std::uint64_t w2, double& z1, double& z2) {
  const double u1 = (static_cast<double>(w1 >> 11) + 0.5) * 0x1p-53;
  const double angle = static_cast<double>(static_cast<std::int64_t>(w2)) * (0x1p-63 * 3.14159265358979324);
  const double radius = math::sqrt(-2 * math::log(u1));
  z1 = radius * math::cos(angle);
  z2 = radius * math::sin(angle);
}

}  // namespace miniparallel::kernels
