#pragma once

#include "kernels/cuda/device/launch_on.cuh"
#include "kernels/cuda/device/pack.cuh"
#include "kernels/random.h"

#include <cstdint>

namespace miniparallel::kernels::cuda {

/// Dropout within a kernel: element i of its array is left out, or scaled, as `Random::dropout` does it.
template <class T>
class Keep {
 public:
  explicit Keep(const DropoutMask& mask)
      : key_(mask.key),
        threshold_(static_cast<std::uint32_t>(mask.p * 0x1p32)),
        scale_(static_cast<T>(1 / (1 - mask.p))) {}

  /// Whether the array's packs are within blocks of words.
  static bool fits(const DropoutMask& mask) { return mask.key.first % kPack<T> == 0; }

  /// Elements i to i + N, where i is a multiple of a pack and N at most one.
  template <int N>
  __device__ Pack<T, N> operator()(Pack<T, N> values, std::int64_t i) const {
    if (threshold_ == 0) return values;
    const RandomKey key = key_.resolved();
    const auto position = static_cast<std::uint64_t>(key.first + i);
    const PhiloxBlock block = random_words(key, position / 4);
    MP_UNROLL
    for (int k = 0; k < N; ++k) {
      std::uint32_t word = block.word[k];
      if constexpr (kPack<T> == 2) word = position % 4 == 0 ? word : block.word[k + 2];
      values.at[k] = word >= threshold_ ? values.at[k] * scale_ : T(0);
    }
    return values;
  }

 private:
  RandomKey key_;
  std::uint32_t threshold_;
  T scale_;
};

}  // namespace miniparallel::kernels::cuda
