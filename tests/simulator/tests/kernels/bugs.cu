#include "bugs.h"
#include "kernels/cuda/device/launch.h"

namespace simulator_tests::bugs {
namespace {

using miniparallel::cuda::launch;
using miniparallel::cuda::shared_array;

__global__ void missing_barrier_before_read_kernel(float* data) {
  auto& values = shared_array<float, 64>();
  values[threadIdx.x] = 0;
  __syncthreads();
  values[threadIdx.x] = data[threadIdx.x];
  data[threadIdx.x] = values[63 - threadIdx.x];
}

__global__ void missing_barrier_before_write_kernel(float* data) {
  auto& values = shared_array<float, 64>();
  values[threadIdx.x] = data[threadIdx.x];
  __syncthreads();
  const float other = values[63 - threadIdx.x];
  values[threadIdx.x] = other;
  __syncthreads();
  data[threadIdx.x] = values[threadIdx.x];
}

__global__ void missing_syncwarp_kernel(float* data) {
  auto& values = shared_array<float, 32>();
  values[threadIdx.x] = 0;
  __syncwarp();
  values[threadIdx.x] = data[threadIdx.x];
  data[threadIdx.x] = values[31 - threadIdx.x];
}

__global__ void divergent_barrier_kernel(float* data) {
  if (threadIdx.x < 32) {
    data[threadIdx.x] = 1;
    __syncthreads();
  } else {
    data[threadIdx.x] = 2;
    __syncthreads();
  }
}

__global__ void shuffle_from_left_lane_kernel(float* data) {
  if (threadIdx.x >= 16) return;
  data[threadIdx.x] = __shfl_sync(0xffffu, data[threadIdx.x], 20);
}

__global__ void shuffle_from_unnamed_lane_kernel(float* data) {
  const float value = data[threadIdx.x];
  if (threadIdx.x < 16) {
    data[threadIdx.x] = __shfl_xor_sync(0xffffu, value, 16);
  } else {
    data[threadIdx.x] = __shfl_xor_sync(0xffff0000u, value, 1);
  }
}

__global__ void write_one_past_kernel(float* data, int n) {
  const int i = static_cast<int>(threadIdx.x);
  if (i <= n) data[i] = 1;
}

template <typename T>
__global__ void read_kernel(const T* in, T* out) {
  *out = *in;
}

__global__ void race_between_blocks_kernel(float* data) { *data = static_cast<float>(blockIdx.x); }

__global__ void plain_accumulation_kernel(float* sum) { *sum += 1; }

__global__ void missing_fence_kernel(float* partial, unsigned* ticket, float* out) {
  partial[blockIdx.x] = 1;
  if (atomicAdd(ticket, 1u) != gridDim.x - 1) return;
  float sum = 0;
  for (unsigned i = 0; i < gridDim.x; ++i) sum += partial[i];
  *out = sum;
}

__global__ void unwritten_shared_kernel(float* out) {
  auto& values = shared_array<float, 64>();
  values[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x + 1];
}

__global__ void past_shared_kernel(float* out) {
  auto& values = shared_array<float, 31>();
  values[threadIdx.x] = 1;
  out[threadIdx.x] = values[threadIdx.x];
}

}  // namespace

void missing_barrier_before_read(float* data, cudaStream_t stream) {
  launch(missing_barrier_before_read_kernel, {.block = 64, .stream = stream}, data);
}
void missing_barrier_before_write(float* data, cudaStream_t stream) {
  launch(missing_barrier_before_write_kernel, {.block = 64, .stream = stream}, data);
}
void missing_syncwarp(float* data, cudaStream_t stream) {
  launch(missing_syncwarp_kernel, {.block = 32, .stream = stream}, data);
}
void divergent_barrier(float* data, cudaStream_t stream) {
  launch(divergent_barrier_kernel, {.block = 64, .stream = stream}, data);
}
void shuffle_from_left_lane(float* data, cudaStream_t stream) {
  launch(shuffle_from_left_lane_kernel, {.block = 32, .stream = stream}, data);
}
void shuffle_from_unnamed_lane(float* data, cudaStream_t stream) {
  launch(shuffle_from_unnamed_lane_kernel, {.block = 32, .stream = stream}, data);
}
void write_one_past(float* data, int n, cudaStream_t stream) {
  launch(write_one_past_kernel, {.block = 128, .stream = stream}, data, n);
}
void read_float(const float* in, float* out, cudaStream_t stream) {
  launch(read_kernel<float>, {.stream = stream}, in, out);
}
void read_int(const int* in, int* out, cudaStream_t stream) {
  launch(read_kernel<int>, {.stream = stream}, in, out);
}
void race_between_blocks(float* data, cudaStream_t stream) {
  launch(race_between_blocks_kernel, {.grid = 8, .stream = stream}, data);
}
void plain_accumulation(float* sum, cudaStream_t stream) {
  launch(plain_accumulation_kernel, {.block = 64, .stream = stream}, sum);
}
void missing_fence(float* partial, unsigned* ticket, float* out, cudaStream_t stream) {
  launch(missing_fence_kernel, {.grid = 4, .stream = stream}, partial, ticket, out);
}
void unwritten_shared(float* out, cudaStream_t stream) {
  launch(unwritten_shared_kernel, {.block = 32, .stream = stream}, out);
}
void past_shared(float* out, cudaStream_t stream) {
  launch(past_shared_kernel, {.block = 32, .stream = stream}, out);
}

}  // namespace simulator_tests::bugs
