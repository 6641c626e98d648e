#pragma once

#include "kernels/cuda/launch_on.cuh"

namespace miniparallel::kernels::cuda {

/// Combines, for every x, the values of a (blockDim.x, blockDim.y) block's threads over y, in a fixed order;
/// the result reaches the threads with y = 0. blockDim.y is a power of two and the block has kBlock threads.
/// F has an `Accumulator` and `combine`.
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

}  // namespace miniparallel::kernels::cuda
