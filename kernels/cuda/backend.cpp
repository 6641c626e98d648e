#include "kernels/cuda/backend.h"

#include "kernels/cuda/device/bad_index.h"
#include "kernels/cuda/device/workspace.h"
#include "kernels/cuda/matmul/cublas.h"

namespace miniparallel::kernels {
namespace cuda {

void release() {
  release_cublas();
  release_workspaces();
  release_bad_index_words();
}

}  // namespace cuda

const Backend& cuda_backend() {
  static const Backend backend{.attention = cuda::attention(),
                               .conv2d = cuda::conv2d(),
                               .cross_entropy = cuda::cross_entropy(),
                               .elementwise = cuda::elementwise(),
                               .indexing = cuda::indexing(),
                               .matmul = cuda::matmul(),
                               .norm = cuda::norm(),
                               .optimizer = cuda::optimizer(),
                               .pointwise_loss = cuda::pointwise_loss(),
                               .pool2d = cuda::pool2d(),
                               .random = cuda::random_launchers(),
                               .reduce = cuda::reduce(),
                               .softmax = cuda::softmax()};
  return backend;
}

}  // namespace miniparallel::kernels
