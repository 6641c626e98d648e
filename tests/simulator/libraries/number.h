#pragma once
// The number types that device libraries store in memory, and the types in which they calculate.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <library_types.h>

#include <cstddef>
#include <type_traits>

namespace miniparallel::simulator {

/// Half types are only stored: their values are calculated in float, as tensor cores accumulate them.
template <class T>
inline constexpr bool is_half = std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>;

template <class To, class From>
To convert(From value) {
  if constexpr (is_half<From>) {
    return static_cast<To>(static_cast<float>(value));
  } else if constexpr (is_half<To>) {
    return To(static_cast<float>(value));
  } else {
    return static_cast<To>(value);
  }
}

/// Calls f(T{}) with the C++ type that `type` stands for; false,
/// and no call, if matrices of that type are not simulated.
template <class F>
bool with_type(cudaDataType_t type, F&& f) {
  switch (type) {
    case CUDA_R_32F:
      return f(float{}), true;
    case CUDA_R_64F:
      return f(double{}), true;
    case CUDA_R_16F:
      return f(__half{}), true;
    case CUDA_R_16BF:
      return f(__nv_bfloat16{}), true;
    default:
      return false;
  }
}

/// Bytes per element; 0 for a type that is not simulated.
inline std::size_t size_of(cudaDataType_t type) {
  std::size_t size = 0;
  with_type(type, [&](auto zero) { size = sizeof(zero); });
  return size;
}

}  // namespace miniparallel::simulator
