#include <miniparallel/cuda/launch.h>

#include "squared_relu.h"

using namespace miniparallel::cuda;  // launch, blocks, CUDA_CHECK

// --- kernels: neighbouring threads take neighbouring elements, so that a warp reads whole cache lines

__global__ void forward(const float* x, float* y, std::int64_t n) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const float positive = x[i] > 0 ? x[i] : 0;
  y[i] = positive * positive;
}

__global__ void backward(const float* g, const float* x, float* dx, std::int64_t n) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) dx[i] = x[i] > 0 ? g[i] * 2 * x[i] : 0;
}

// --- launchers: `launch` is kernel<<<...>>> as a function. It throws when the launch fails, and the same
// file compiles for the simulated GPU, where tests run without a GPU.

constexpr unsigned kThreads = 256;

static LaunchConfig config(std::int64_t n, void* stream) {
  return {.grid = blocks(static_cast<std::size_t>(n), kThreads),
          .block = kThreads,
          .stream = static_cast<cudaStream_t>(stream)};
}

void squared_relu(const float* x, float* y, std::int64_t n, int device, void* stream) {
  CUDA_CHECK(cudaSetDevice(device));
  launch(forward, config(n, stream), x, y, n);
}

void squared_relu_backward(const float* g, const float* x, float* dx, std::int64_t n, int device,
                           void* stream) {
  CUDA_CHECK(cudaSetDevice(device));
  launch(backward, config(n, stream), g, x, dx, n);
}
