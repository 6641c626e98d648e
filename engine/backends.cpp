#include "engine/device/accelerator.h"
#include "engine/device/architecture.h"

// The one file that knows which backends a build has.

#ifdef MINIPARALLEL_HAS_CUDA
#include "engine/cuda/runtime.h"
#include "kernels/cuda/device/probe.h"
#endif

namespace miniparallel {

Accelerator* built_accelerator() {
#ifdef MINIPARALLEL_HAS_CUDA
  return &cuda::runtime();
#else
  return nullptr;
#endif
}

int code_architecture([[maybe_unused]] int device) {
#ifdef MINIPARALLEL_HAS_CUDA
  return kernels::cuda::code_architecture(device);
#else
  return 0;
#endif
}

}  // namespace miniparallel
