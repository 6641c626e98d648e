#pragma once

#include "kernels/cpu/lanes.h"
#include "kernels/math.h"

#include <algorithm>

/// What softmax, cross entropy and attention do with a row, or with up to kColumnBlock neighbouring columns
/// `stride` apart from row to row. Forced inline: see lanes.h.

namespace miniparallel::kernels::cpu {

inline constexpr std::int64_t kColumnBlock = 64;

template <class T>
MP_INLINE T row_max(const T* x, std::int64_t n) {
  return fold_row<MaxOf<T>>(x, n);
}

/// y[i] = exp(x[i] - maximum); returns the sum.
template <class T>
MP_INLINE double exponentials(const T* x, std::int64_t n, T maximum, T* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = math::exp(x[i] - maximum);
  return fold_row<SumOf<T>>(y, n);
}

/// Sum of exp(x[i] - maximum).
template <class T>
MP_INLINE double sum_of_exponentials(const T* x, std::int64_t n, T maximum) {
  constexpr std::int64_t kBlock = 512;
  T block[kBlock];
  double sum = 0;
  for (std::int64_t i = 0; i < n; i += kBlock)
    sum += exponentials(x + i, std::min(kBlock, n - i), maximum, block);
  return sum;
}

/// Per column c < width: the maximum of n elements.
template <class T>
MP_INLINE void column_maxima(const T* x, std::int64_t n, std::int64_t stride, std::int64_t width,
                             T* maximum) {
  for (std::int64_t c = 0; c < width; ++c) maximum[c] = MaxOf<T>::initial;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t c = 0; c < width; ++c) maximum[c] = MaxOf<T>::combine(maximum[c], x[i * stride + c]);
}

/// The same, and the log of the sum of exp(x - maximum).
template <class T>
MP_INLINE void column_statistics(const T* x, std::int64_t n, std::int64_t stride, std::int64_t width,
                                 T* maximum, T* log_sum) {
  double sum[kColumnBlock] = {};
  column_maxima(x, n, stride, width, maximum);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t c = 0; c < width; ++c)
      sum[c] += static_cast<double>(math::exp(x[i * stride + c] - maximum[c]));
  for (std::int64_t c = 0; c < width; ++c) log_sum[c] = math::log(static_cast<T>(sum[c]));
}

}  // namespace miniparallel::kernels::cpu
