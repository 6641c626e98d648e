#include "kernels/cuda/device/checker_hooks.h"
#include "kernels/cuda/device/launch_on.cuh"

namespace miniparallel::kernels::cuda {

void block_handed_out(const void* block, std::size_t bytes, Stream stream) {
  miniparallel::cuda::block_handed_out(block, bytes, native(stream));
}

void block_returned(const void* block, Stream stream) {
  miniparallel::cuda::block_returned(block, native(stream));
}

}  // namespace miniparallel::kernels::cuda
