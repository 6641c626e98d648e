#include "engine/device/accelerator.h"

// The one file that knows which backends a build has.

#ifdef MINIPARALLEL_HAS_CUDA
#include "engine/cuda/runtime.h"
#endif

namespace miniparallel {

Accelerator* built_accelerator() {
#ifdef MINIPARALLEL_HAS_CUDA
  return &cuda::runtime();
#else
  return nullptr;
#endif
}

}  // namespace miniparallel
