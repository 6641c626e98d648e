#pragma once

#include "kernels/random_stream.h"

#include <bit>
#include <cstdint>

namespace miniparallel::kernels {

/// A pseudo-random permutation of 0 .. n - 1, element by element and without memory: a Feistel network, whose
/// round functions are drawn from the stream of `key`, permutes the numbers of as many bits as n needs, and
/// is applied again to numbers not below n (Black, Rogaway: "Ciphers with arbitrary finite domains", 2002; as
/// a shuffle for GPUs Mitchell et al.: "Bandwidth-optimal random shuffling for GPUs", 2022). Each number is
/// as likely in each place; of the n! orders no more are possible than there are keys.
class Permutation {
 public:
  MP_INLINE Permutation(std::int64_t n, const RandomKey& key) : n_(static_cast<std::uint64_t>(n)) {
    const int bits = n_ <= kFewest ? kFewestBits : std::bit_width(n_ - 1);
    right_bits_ = bits / 2;
    left_mask_ = static_cast<std::uint32_t>((std::uint64_t{1} << (bits - right_bits_)) - 1);
    right_mask_ = static_cast<std::uint32_t>((std::uint64_t{1} << right_bits_) - 1);
    std::uint64_t block = static_cast<std::uint64_t>(key.first) * (kRounds / 4 + 1);
    for (int i = 0; i < kRounds; i += 4) {
      const PhiloxBlock words = random_words(key, block++);
      for (int k = 0; k < 4; ++k) round_keys_[i + k] = words.word[k];
    }
    swap_ = n < 2 ? 0 : random_words(key, block).word[0] & 1;
  }

  MP_INLINE std::int64_t operator()(std::int64_t i) const {
    auto at = static_cast<std::uint64_t>(i);
    do at = apply(at);
    while (at >= n_);
    return static_cast<std::int64_t>(at < 2 ? at ^ swap_ : at);
  }

 private:
  static constexpr int kRounds = 8;
  static constexpr int kFewestBits = 8;  // fewer would leave the round functions too little choice
  static constexpr std::uint64_t kFewest = std::uint64_t{1} << kFewestBits;

  MP_INLINE std::uint64_t apply(std::uint64_t at) const {
    auto left = static_cast<std::uint32_t>(at >> right_bits_);
    auto right = static_cast<std::uint32_t>(at) & right_mask_;
    MP_UNROLL
    for (int i = 0; i < kRounds; i += 2) {
      left ^= scrambled(right ^ round_keys_[i]) & left_mask_;
      right ^= scrambled(left ^ round_keys_[i + 1]) & right_mask_;
    }
    return static_cast<std::uint64_t>(left) << right_bits_ | right;
  }

  /// Every bit of the result depends on every bit of x: the finalizer of MurmurHash3 (Appleby, 2011).
  MP_INLINE static std::uint32_t scrambled(std::uint32_t x) {
    x = (x ^ x >> 16) * 0x85ebca6bu;
    x = (x ^ x >> 13) * 0xc2b2ae35u;
    return x ^ x >> 16;
  }

  std::uint64_t n_;
  int right_bits_;
  std::uint32_t left_mask_, right_mask_;
  std::uint32_t round_keys_[kRounds];
  std::uint32_t swap_;  ///< 1: the values 0 and 1 change places. The network alone is an even permutation.
};

}  // namespace miniparallel::kernels
