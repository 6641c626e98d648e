#pragma once

#include "kernels/cuda/device/launch_on.cuh"
#include "kernels/cuda/device/pack.cuh"

#include <cstdint>

namespace miniparallel::kernels::cuda {

/// y[i] = f(i), 16 bytes at a time where the array is so aligned.
template <class F, class T>
__global__ void generate(F f, std::int64_t n, T* y) {
  constexpr int pack = kPack<T>;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t packs = are_aligned(16, y) ? n / pack : 0;
  for (std::int64_t i = first; i < packs; i += step) {
    Pack<T, pack> values;
    MP_UNROLL
    for (int k = 0; k < pack; ++k) values.at[k] = f(i * pack + k);
    pack_at<pack>(y, i * pack) = values;
  }
  for (std::int64_t i = packs * pack + first; i < n; i += step) y[i] = f(i);
}

template <class F, class T>
void launch_generate(const F& f, T* y, std::int64_t n, Stream stream) {
  if (n == 0) return;
  launch_on(stream, generate<F, T>, grid_for((n + kPack<T> - 1) / kPack<T>, stream.device), kBlock, f, n, y);
}

}  // namespace miniparallel::kernels::cuda
