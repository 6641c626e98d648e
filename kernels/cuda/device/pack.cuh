#pragma once

#include "kernels/macros.h"

#include <cstdint>

namespace miniparallel::kernels::cuda {

/// N elements that one instruction loads or stores, 16 bytes at most. To be loaded so a pack must be copied
/// whole: elements read from memory one by one stay so.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T at[N];
};

/// Packs of T that are 16 bytes.
template <class T>
inline constexpr int kPack = 16 / static_cast<int>(sizeof(T));

/// Elements i to i + N of an array.
template <int N, class T>
MP_INLINE Pack<T, N>& pack_at(T* array, std::int64_t i) {
  return *reinterpret_cast<Pack<T, N>*>(array + i);
}
template <int N, class T>
MP_INLINE const Pack<T, N>& pack_at(const T* array, std::int64_t i) {
  return *reinterpret_cast<const Pack<T, N>*>(array + i);
}

/// Whether all pointers are multiples of `bytes`, a power of two.
template <class... Pointers>
MP_INLINE bool are_aligned(std::uintptr_t bytes, const Pointers*... pointers) {
  return ((reinterpret_cast<std::uintptr_t>(pointers) | ... | std::uintptr_t{0}) & (bytes - 1)) == 0;
}

}  // namespace miniparallel::kernels::cuda
