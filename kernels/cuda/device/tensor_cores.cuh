#pragma once

#include <miniparallel/dtype.h>

#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/pack.cuh"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>

#include <type_traits>

/// Tensor cores by the interface of CUDA's mma.h: a warp multiplies matrices of 16 x depth and depth x 16
/// elements and sums in float32. float16 needs compute capability 7.0; bfloat16, and float rounded to TF32,
/// need 8.0, and code for less has no names for them: a kernel does nothing there, by `if constexpr
/// (has_tensor_cores<T>)`, and must not be started (`code_architecture`).

namespace miniparallel::kernels::cuda {

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
template <class T>
inline constexpr bool has_tensor_cores = std::is_same_v<T, Half>;
#else
template <class T>
inline constexpr bool has_tensor_cores =
    std::is_same_v<T, Half> || std::is_same_v<T, BFloat16> || std::is_same_v<T, float>;
#endif

/// `Element`: what a fragment is made of; `memory`: the address that it is loaded from.
template <class T>
struct TensorCore;

template <>
struct TensorCore<Half> {
  using Element = __half;
  static constexpr int kDepth = 16;
  __device__ static const __half* memory(const Half* at) { return reinterpret_cast<const __half*>(at); }
  __device__ static Half rounded(Half x) { return x; }
};

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
template <>
struct TensorCore<BFloat16> {
  using Element = __nv_bfloat16;
  static constexpr int kDepth = 16;
  __device__ static const __nv_bfloat16* memory(const BFloat16* at) {
    return reinterpret_cast<const __nv_bfloat16*>(at);
  }
  __device__ static BFloat16 rounded(BFloat16 x) { return x; }
};

template <>
struct TensorCore<float> {
  using Element = nvcuda::wmma::precision::tf32;
  static constexpr int kDepth = 8;
  __device__ static const float* memory(const float* at) { return at; }
  /// As operands have to be.
  __device__ static float rounded(float x) { return nvcuda::wmma::__float_to_tf32(x); }
};
#endif

/// The matrices of one multiplication. a has its rows in memory, b its columns: depth is innermost in both.
template <class T>
struct Fragments {
  using Core = TensorCore<T>;
  using A = nvcuda::wmma::fragment<nvcuda::wmma::matrix_a, 16, 16, Core::kDepth, typename Core::Element,
                                   nvcuda::wmma::row_major>;
  using B = nvcuda::wmma::fragment<nvcuda::wmma::matrix_b, 16, 16, Core::kDepth, typename Core::Element,
                                   nvcuda::wmma::col_major>;
  /// a with its columns in memory, b with its rows.
  using AByColumns = nvcuda::wmma::fragment<nvcuda::wmma::matrix_a, 16, 16, Core::kDepth,
                                            typename Core::Element, nvcuda::wmma::col_major>;
  using BByRows = nvcuda::wmma::fragment<nvcuda::wmma::matrix_b, 16, 16, Core::kDepth, typename Core::Element,
                                         nvcuda::wmma::row_major>;
  using Sum = nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, Core::kDepth, float>;
};

/// A pack of operands, as tensor cores take them.
template <class T>
__device__ Pack<T, kPack<T>> rounded(Pack<T, kPack<T>> values) {
  MP_UNROLL
  for (int k = 0; k < kPack<T>; ++k) values.at[k] = TensorCore<T>::rounded(values.at[k]);
  return values;
}

}  // namespace miniparallel::kernels::cuda
