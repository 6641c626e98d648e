#pragma once

#include "kernels/cuda/device/bad_index.h"
#include "kernels/cuda/device/launch.h"

namespace miniparallel::kernels::cuda {

/// Whether 0 <= index < bound; else it is noted. `op` is a
/// literal of the host, which the device only passes on.
__device__ inline bool check_index(std::int64_t index, std::int64_t bound, const char* op,
                                   BadIndexWord* word) {
  if (index >= 0 && index < bound) return true;
  if (atomicCAS(&word->taken, 0u, 1u) == 0u) {
    word->what = {op, index, bound};
    __threadfence_system();
    atomicExch(&word->ready, 1u);
  }
  return false;
}

}  // namespace miniparallel::kernels::cuda
