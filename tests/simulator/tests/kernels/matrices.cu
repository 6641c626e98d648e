#include "kernels/cuda/device/tensor_cores.cuh"
#include "matrices.h"

#include <type_traits>

namespace simulator_tests {

using miniparallel::BFloat16;
using miniparallel::Half;

namespace {

namespace wmma = nvcuda::wmma;
using miniparallel::cuda::launch;
using miniparallel::cuda::shared_array;
using miniparallel::kernels::cuda::has_tensor_cores;
using miniparallel::kernels::cuda::TensorCore;

template <class T, class Layout>
__global__ void multiply_kernel(const T* a, const T* b, float* c) {
  if constexpr (has_tensor_cores<T>) {
    using Core = TensorCore<T>;
    constexpr int depth = Core::kDepth;
    constexpr bool by_rows = std::is_same_v<Layout, wmma::row_major>;
    wmma::fragment<wmma::accumulator, 16, 16, depth, float> sum;
    wmma::load_matrix_sync(sum, c, 16, wmma::mem_row_major);
    for (int k = 0; k < 16; k += depth) {
      wmma::fragment<wmma::matrix_a, 16, 16, depth, typename Core::Element, Layout> left;
      wmma::fragment<wmma::matrix_b, 16, 16, depth, typename Core::Element, Layout> right;
      wmma::load_matrix_sync(left, Core::memory(a + (by_rows ? k : 16 * k)), 16);
      wmma::load_matrix_sync(right, Core::memory(b + (by_rows ? 16 * k : k)), 16);
      if constexpr (std::is_same_v<T, float>) {
        for (int i = 0; i < left.num_elements; ++i) left.x[i] = Core::rounded(left.x[i]);
        for (int i = 0; i < right.num_elements; ++i) right.x[i] = Core::rounded(right.x[i]);
      }
      wmma::mma_sync(sum, left, right, sum);
    }
    wmma::store_matrix_sync(c, sum, 16, wmma::mem_row_major);
  }
}

}  // namespace

template <class T>
void multiply_matrices(const T* a, const T* b, float* c, bool by_columns) {
  launch(by_columns ? multiply_kernel<T, wmma::col_major> : multiply_kernel<T, wmma::row_major>,
         {.block = 32}, a, b, c);
}
template void multiply_matrices(const Half*, const Half*, float*, bool);
template void multiply_matrices(const BFloat16*, const BFloat16*, float*, bool);
template void multiply_matrices(const float*, const float*, float*, bool);

namespace bugs {
namespace {

using Left = wmma::fragment<wmma::matrix_a, 16, 16, 16, __half, wmma::row_major>;
using Right = wmma::fragment<wmma::matrix_b, 16, 16, 16, __half, wmma::row_major>;
using Sum = wmma::fragment<wmma::accumulator, 16, 16, 16, float>;

__global__ void half_a_warp_multiplies_kernel(const __half* a, float* c) {
  Left left;
  Right right;
  Sum sum;
  wmma::load_matrix_sync(left, a, 16);
  wmma::load_matrix_sync(right, a, 16);
  wmma::fill_fragment(sum, 0.0f);
  if (threadIdx.x < 16) return;
  wmma::mma_sync(sum, left, right, sum);
  c[threadIdx.x] = sum.x[0];
}

__global__ void warp_loads_in_two_places_kernel(const __half* a, float* c) {
  Left left;
  if (threadIdx.x < 16)
    wmma::load_matrix_sync(left, a, 16);
  else
    wmma::load_matrix_sync(left, a, 16);
  c[threadIdx.x] = __half2float(left.x[0]);
}

__global__ void load_without_syncwarp_kernel(const __half* a, float* c) {
  auto& values = shared_array<__half, 256, 1>();
  for (int i = 0; i < 8; ++i) values[threadIdx.x + 32 * i] = a[threadIdx.x + 32 * i];
  Left left;
  wmma::load_matrix_sync(left, values + 0, 16);
  c[threadIdx.x] = __half2float(left.x[0]);
}

__global__ void load_kernel(const __half* a, float* c) {
  Left left;
  wmma::load_matrix_sync(left, a, 16);
  c[threadIdx.x] = __half2float(left.x[0]);
}

__global__ void read_stored_without_syncwarp_kernel(float* c) {
  Sum sum;
  wmma::fill_fragment(sum, 1.0f);
  wmma::store_matrix_sync(c, sum, 16, wmma::mem_row_major);
  if (threadIdx.x == 0) c[1000] = c[255];
}

}  // namespace

void half_a_warp_multiplies(const __half* a, float* c) {
  launch(half_a_warp_multiplies_kernel, {.block = 32}, a, c);
}
void warp_loads_in_two_places(const __half* a, float* c) {
  launch(warp_loads_in_two_places_kernel, {.block = 32}, a, c);
}
void load_without_syncwarp(const __half* a, float* c) {
  launch(load_without_syncwarp_kernel, {.block = 32}, a, c);
}
void load_past_the_end(const __half* a, float* c) { launch(load_kernel, {.block = 32}, a + 16, c); }
void load_misaligned(const __half* a, float* c) { launch(load_kernel, {.block = 32}, a + 1, c); }
void read_stored_without_syncwarp(float* c) { launch(read_stored_without_syncwarp_kernel, {.block = 32}, c); }

}  // namespace bugs
}  // namespace simulator_tests
