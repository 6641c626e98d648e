#pragma once

#include "kernels/by_dtype.h"
#include "kernels/cuda/device/pack.cuh"
#include "kernels/half.h"

#include <cstdint>
#include <type_traits>

/// Kernels of float32 and float64 that take float16 and bfloat16, too: elements are stored in one type and
/// computed with in another. What is read is exact, what is written is rounded once.

namespace miniparallel::kernels::cuda {

template <class T>
inline constexpr bool kIsHalf = std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;

/// The type to compute with: float where T has 16 bits.
template <class T>
using Computed = std::conditional_t<kIsHalf<T>, float, T>;

template <class T>
MP_INLINE Computed<T> read(const T& x) {
  return convert<Computed<T>>(x);
}

/// Elements i to i + N of an array to compute with, which is loaded 16 bytes at once, or whole if it is less.
template <int N, class T>
MP_INLINE Pack<Computed<T>, N> read_pack(const T* array, std::int64_t i) {
  constexpr int part = N < kPack<T> ? N : kPack<T>;
  Pack<Computed<T>, N> values;
  MP_UNROLL
  for (int k = 0; k < N; k += part) {
    const Pack<T, part> stored = pack_at<part>(array, i + k);
    MP_UNROLL
    for (int j = 0; j < part; ++j) values.at[k + j] = read(stored.at[j]);
  }
  return values;
}

/// Stores them as one pack, which for N elements of T has at most 16 bytes.
template <int N, class T>
MP_INLINE void write_pack(T* array, std::int64_t i, const Pack<Computed<T>, N>& values) {
  Pack<T, N> stored;
  MP_UNROLL
  for (int k = 0; k < N; ++k) stored.at[k] = convert<T>(values.at[k]);
  pack_at<N>(array, i) = stored;
}

/// Calls f for the type of a floating dtype: with_stored_type(dtype, [&]<class T>() { ... }).
template <class F>
void with_stored_type(DType dtype, const F& f) {
  if (dtype == float16)
    f.template operator()<Half>();
  else if (dtype == bfloat16)
    f.template operator()<BFloat16>();
  else
    with_type(dtype, f);
}

}  // namespace miniparallel::kernels::cuda
