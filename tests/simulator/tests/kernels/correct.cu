#include "correct.h"
#include "kernels/cuda/device/launch.h"

namespace simulator_tests {
namespace {

using miniparallel::cuda::blocks;
using miniparallel::cuda::dynamic_shared;
using miniparallel::cuda::launch;
using miniparallel::cuda::shared_array;

constexpr unsigned everyone = 0xffffffffu;

__device__ int global_index() { return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); }

__global__ void saxpy_kernel(float a, const float* x, float* y, int n) {
  const int i = global_index();
  if (i < n) y[i] = a * x[i] + y[i];
}

__global__ void fill_kernel(float* x, float value, int n) {
  const int i = global_index();
  if (i < n) x[i] = value;
}

__global__ void transpose_kernel(const float* in, float* out, int rows, int columns) {
  auto& tile = shared_array<float, 16 * 17>();
  const int tx = static_cast<int>(threadIdx.x), ty = static_cast<int>(threadIdx.y);
  const int left = static_cast<int>(blockIdx.x) * 16, top = static_cast<int>(blockIdx.y) * 16;
  if (top + ty < rows && left + tx < columns) tile[ty * 17 + tx] = in[(top + ty) * columns + left + tx];
  __syncthreads();
  if (left + ty < columns && top + tx < rows) out[(left + ty) * rows + top + tx] = tile[tx * 17 + ty];
}

__global__ void scan_kernel(const int* in, int* out) {
  auto& values = shared_array<int, 1024>();
  const unsigned t = threadIdx.x;
  values[t] = in[t];
  __syncthreads();
  for (unsigned step = 1; step < blockDim.x; step *= 2) {
    const int left = t >= step ? values[t - step] : 0;
    __syncthreads();
    values[t] += left;
    __syncthreads();
  }
  out[t] = values[t];
}

__device__ float warp_sum(float value) {
  for (int step = 16; step > 0; step /= 2)
    value += __shfl_down_sync(everyone, value, static_cast<unsigned>(step));
  return value;
}

__global__ void shuffle_sum_kernel(const float* in, float* out, int n) {
  auto& warps = shared_array<float, 32>();
  const int i = global_index();
  const float sum = warp_sum(i < n ? in[i] : 0.0f);
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x < 32) {
    const float total = warp_sum(threadIdx.x < blockDim.x / 32 ? warps[threadIdx.x] : 0.0f);
    if (threadIdx.x == 0) atomicAdd(out, total);
  }
}

__global__ void histogram_kernel(const unsigned char* in, unsigned* counts, int n) {
  auto& bins = shared_array<unsigned, 64>();
  if (threadIdx.x < 64) bins[threadIdx.x] = 0;
  __syncthreads();
  const int i = global_index();
  if (i < n) atomicAdd(&bins[in[i]], 1u);
  __syncthreads();
  if (threadIdx.x < 64) atomicAdd(&counts[threadIdx.x], bins[threadIdx.x]);
}

constexpr int left_tile = 1, right_tile = 2;

__global__ void matmul_kernel(const float* a, const float* b, float* c, int n) {
  auto& left = shared_array<float, 256, left_tile>();
  auto& right = shared_array<float, 256, right_tile>();
  const int tx = static_cast<int>(threadIdx.x), ty = static_cast<int>(threadIdx.y);
  const int row = static_cast<int>(blockIdx.y) * 16 + ty, column = static_cast<int>(blockIdx.x) * 16 + tx;
  float sum = 0;
  for (int tile = 0; tile < n; tile += 16) {
    left[ty * 16 + tx] = a[row * n + tile + tx];
    right[ty * 16 + tx] = b[(tile + ty) * n + column];
    __syncthreads();
    for (int k = 0; k < 16; ++k) sum += left[ty * 16 + k] * right[k * 16 + tx];
    __syncthreads();
  }
  c[row * n + column] = sum;
}

__global__ void softmax_kernel(const float* in, float* out, int rows) {
  auto& exponentials = shared_array<float, 4 * 64>();
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const int row = static_cast<int>(blockIdx.x) * 4 + warp;
  if (row >= rows) return;  // whole warps leave, and no barrier follows
  float largest = fmaxf(in[row * 64 + lane], in[row * 64 + 32 + lane]);
  for (int step = 16; step > 0; step /= 2) largest = fmaxf(largest, __shfl_xor_sync(everyone, largest, step));
  float* const mine = exponentials + warp * 64;
  mine[lane] = expf(in[row * 64 + lane] - largest);
  mine[32 + lane] = expf(in[row * 64 + 32 + lane] - largest);
  __syncwarp();
  float sum = 0;
  for (int i = 0; i < 64; ++i) sum += mine[i];
  out[row * 64 + lane] = mine[lane] / sum;
  out[row * 64 + 32 + lane] = mine[32 + lane] / sum;
}

__global__ void fence_sum_kernel(const float* in, float* partial, unsigned* ticket, float* out, int n) {
  auto& values = shared_array<float, 128>();
  auto& last = shared_array<int, 1>();
  const unsigned t = threadIdx.x;
  const int i = global_index();
  values[t] = i < n ? in[i] : 0.0f;
  __syncthreads();
  for (unsigned step = 64; step > 0; step /= 2) {
    if (t < step) values[t] += values[t + step];
    __syncthreads();
  }
  if (t == 0) {
    partial[blockIdx.x] = values[0];
    __threadfence();
    last[0] = atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1 ? 1 : 0;
  }
  __syncthreads();
  if (last[0] != 0 && t == 0) {
    float sum = 0;
    for (unsigned block = 0; block < gridDim.x; ++block) sum += partial[block];
    *out = sum;
  }
}

__global__ void cooperative_copy_kernel(const float* in, float* out, int n) {
  float* const chunk = dynamic_shared<float>();
  const int first = static_cast<int>(blockIdx.x) * 256;
  for (int i = static_cast<int>(threadIdx.x); i < 256; i += static_cast<int>(blockDim.x)) {
    chunk[i] = first + i < n ? in[first + i] : 0.0f;
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < 256; i += static_cast<int>(blockDim.x)) {
    if (first + i < n) out[first + i] = chunk[255 - i];
  }
}

unsigned cover(int n, int block) { return blocks(static_cast<std::size_t>(n), static_cast<unsigned>(block)); }

}  // namespace

void saxpy(float a, const float* x, float* y, int n, cudaStream_t stream) {
  launch(saxpy_kernel, {.grid = cover(n, 256), .block = 256, .stream = stream}, a, x, y, n);
}

void fill(float* x, float value, int n, cudaStream_t stream) {
  launch(fill_kernel, {.grid = cover(n, 128), .block = 128, .stream = stream}, x, value, n);
}

void transpose(const float* in, float* out, int rows, int columns, cudaStream_t stream) {
  launch(transpose_kernel,
         {.grid = dim3(cover(columns, 16), cover(rows, 16)), .block = dim3(16, 16), .stream = stream}, in,
         out, rows, columns);
}

void scan(const int* in, int* out, int n, cudaStream_t stream) {
  launch(scan_kernel, {.block = static_cast<unsigned>(n), .stream = stream}, in, out);
}

void shuffle_sum(const float* in, float* out, int n, cudaStream_t stream) {
  launch(shuffle_sum_kernel, {.grid = cover(n, 256), .block = 256, .stream = stream}, in, out, n);
}

void histogram(const unsigned char* in, unsigned* counts, int n, cudaStream_t stream) {
  launch(histogram_kernel, {.grid = cover(n, 128), .block = 128, .stream = stream}, in, counts, n);
}

void matmul(const float* a, const float* b, float* c, int n, cudaStream_t stream) {
  const auto tiles = static_cast<unsigned>(n / 16);
  launch(matmul_kernel, {.grid = dim3(tiles, tiles), .block = dim3(16, 16), .stream = stream}, a, b, c, n);
}

void softmax(const float* in, float* out, int rows, cudaStream_t stream) {
  launch(softmax_kernel, {.grid = cover(rows, 4), .block = 128, .stream = stream}, in, out, rows);
}

void fence_sum(const float* in, float* partial, unsigned* ticket, float* out, int n, cudaStream_t stream) {
  launch(fence_sum_kernel, {.grid = cover(n, 128), .block = 128, .stream = stream}, in, partial, ticket, out,
         n);
}

void cooperative_copy(const float* in, float* out, int n, cudaStream_t stream) {
  launch(cooperative_copy_kernel,
         {.grid = cover(n, 256), .block = 64, .shared_bytes = 256 * sizeof(float), .stream = stream}, in, out,
         n);
}

}  // namespace simulator_tests
