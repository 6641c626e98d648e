#include <miniparallel/cuda/launch.h>

#include "scale.h"

namespace {

__global__ void scale_kernel(float* x, float factor, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) x[i] *= factor;
}

}  // namespace

void scale(float* x, float factor, int n, cudaStream_t stream) {
  using namespace miniparallel::cuda;
  launch(scale_kernel, {.grid = blocks(static_cast<std::size_t>(n), 128), .block = 128, .stream = stream}, x,
         factor, n);
}
