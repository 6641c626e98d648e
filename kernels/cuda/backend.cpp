#include "kernels/cuda/backend.h"

#include "kernels/cuda/device/bad_index.h"
#include "kernels/cuda/device/fastest.h"
#include "kernels/cuda/device/grid.h"
#include "kernels/cuda/device/probe.h"
#include "kernels/cuda/device/workspace.h"
#include "kernels/cuda/matmul/cublas.h"

namespace miniparallel::kernels {
namespace cuda {

void prepare(Stream stream) {
  static_cast<void>(workspace(stream));
  static_cast<void>(Cublas(stream));
}

void release() {
  release_cublas();
  release_workspaces();
  release_bad_index_words();
  forget_architectures();
  forget_fastest();
  forget_multiprocessors();
}

}  // namespace cuda

const Backend& cuda_backend() {
#define MP_LAUNCHERS(Family, name) .name = cuda::name(),
  static const Backend backend{MP_FAMILIES(MP_LAUNCHERS)};
#undef MP_LAUNCHERS
  return backend;
}

}  // namespace miniparallel::kernels
