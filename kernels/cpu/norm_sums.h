#pragma once

#include "kernels/macros.h"

#include <algorithm>
#include <cstdint>

/// Two sums over a run of elements, as the statistics and the gradients of normalisations need them. Forced
/// inline: see lanes.h.

namespace miniparallel::kernels::cpu {

inline constexpr int kLanes = 16;
inline constexpr std::int64_t kSumBlock = 512;

/// How many channels, rows or columns a thread takes at least.
MP_INLINE std::int64_t grain(std::int64_t elements_of_each) {
  return std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, elements_of_each));
}

struct Sums {
  double first[kLanes] = {}, second[kLanes] = {};
};

MP_INLINE double total(const double* lanes) {
  double sum = 0;
  for (int k = 0; k < kLanes; ++k) sum += lanes[k];
  return sum;
}

/// One element's part of two sums.
template <class T>
struct Terms {
  T first, second;
};

/// Adds terms(i) for i < n: blocks in T, which is fast, the blocks' sums in float64, which is exact enough.
template <class T, class F>
MP_INLINE void add_run(Sums& sums, std::int64_t n, const F& terms) {
  for (std::int64_t begin = 0; begin < n; begin += kSumBlock) {
    const std::int64_t end = std::min(n, begin + kSumBlock);
    T first[kLanes] = {}, second[kLanes] = {};
    std::int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes)
      for (int k = 0; k < kLanes; ++k) {
        const Terms<T> term = terms(i + k);
        first[k] += term.first;
        second[k] += term.second;
      }
    for (int k = 0; i < end; ++i, ++k) {
      const Terms<T> term = terms(i);
      first[k] += term.first;
      second[k] += term.second;
    }
    for (int k = 0; k < kLanes; ++k) {
      sums.first[k] += static_cast<double>(first[k]);
      sums.second[k] += static_cast<double>(second[k]);
    }
  }
}

}  // namespace miniparallel::kernels::cpu
