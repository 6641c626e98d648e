#pragma once

#include "kernels/cuda/device/launch_on.cuh"
#include "kernels/macros.h"

#include <bit>

/// Combines values of a block's threads in a fixed order. F has an `Accumulator` and `combine`.

namespace miniparallel::kernels::cuda {

inline constexpr unsigned kWholeWarp = 0xffffffffu;

/// For every x, those of a (blockDim.x, blockDim.y) block over y; the result reaches all of them.
/// blockDim.y is a power of two and the block has kBlock threads.
template <class F>
__device__ typename F::Accumulator combine_over_y(typename F::Accumulator mine) {
  auto& shared = miniparallel::cuda::shared_array<typename F::Accumulator, kBlock>();
  const unsigned at = threadIdx.y * blockDim.x + threadIdx.x;
  shared[at] = mine;
  __syncthreads();
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    if (threadIdx.y < half) shared[at] = F::combine(shared[at], shared[at + half * blockDim.x]);
    __syncthreads();
  }
  return shared[threadIdx.x];
}

/// As combine_over_y, of N results of each thread at once; those with y 0 get the result.
template <class Values, int N>
__device__ void combine_packs_over_y(typename Values::Accumulator (&mine)[N]) {
  constexpr unsigned width = kBlock / 2;
  auto& shared = miniparallel::cuda::shared_array<typename Values::Accumulator, N * width>();
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    const unsigned above = (threadIdx.y - half) * blockDim.x + threadIdx.x,
                   at = threadIdx.y * blockDim.x + threadIdx.x;
    MP_UNROLL
    for (int k = 0; k < N; ++k)
      if (threadIdx.y >= half && threadIdx.y < 2 * half) shared[k * width + above] = mine[k];
    __syncthreads();
    MP_UNROLL
    for (int k = 0; k < N; ++k)
      if (threadIdx.y < half) mine[k] = Values::combine(mine[k], shared[k * width + at]);
    __syncthreads();
  }
}

/// A struct of doubles from the lane `distance` above.
template <class Accumulator>
__device__ Accumulator from_above(const Accumulator& value, unsigned distance) {
  constexpr std::size_t size = sizeof(double), count = sizeof(Accumulator) / size;
  struct Words {
    double word[count];
  };
  Words words = std::bit_cast<Words>(value);
  MP_UNROLL
  for (std::size_t i = 0; i < count; ++i)
    words.word[i] = __shfl_down_sync(kWholeWarp, words.word[i], distance);
  return std::bit_cast<Accumulator>(words);
}

/// For every y, those of the threads over x, where blockDim.x is 32, or kBlock in a block of one y; the
/// result reaches all of them. An accumulator is a struct of doubles.
template <class F>
__device__ typename F::Accumulator combine_over_x(typename F::Accumulator mine) {
  auto& shared = miniparallel::cuda::shared_array<typename F::Accumulator, kBlock / 32>();
  for (unsigned distance = 16; distance > 0; distance /= 2)
    mine = F::combine(mine, from_above(mine, distance));
  const unsigned warp = (threadIdx.y * blockDim.x + threadIdx.x) / 32;
  if (blockDim.x > 32) __syncthreads();  // an earlier call's result has been read
  if (threadIdx.x % 32 == 0) shared[warp] = mine;
  if (blockDim.x == 32) {
    __syncwarp();
    mine = shared[warp];
    __syncwarp();
    return mine;
  }
  __syncthreads();
  auto total = shared[0];
  for (int i = 1; i < kBlock / 32; ++i) total = F::combine(total, shared[i]);
  return total;
}

}  // namespace miniparallel::kernels::cuda
