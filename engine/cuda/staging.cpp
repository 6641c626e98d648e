#include "engine/cuda/staging.h"

#include <miniparallel/log.h>

#include "engine/cuda/runtime.h"
#include "engine/error.h"

namespace miniparallel::cuda {

void* PinnedMemory::take(std::size_t bytes) {
  void* block = nullptr;
  const cudaError_t error = cudaHostAlloc(&block, bytes, cudaHostAllocPortable);
  return allocated(error, block, "cudaHostAlloc");
}

void PinnedMemory::give_back(void* block, std::size_t) { quietly(cudaFreeHost(block)); }

void PinnedMemory::settle() { runtime_.synchronize_all(); }

bool PinnedMemory::pass(Mark mark, kernels::Stream) { return is_done(static_cast<cudaEvent_t>(mark.event)); }

StagingBlock::StagingBlock(Staging& staging, std::size_t bytes, kernels::Stream stream)
    : allocator_(&staging.pinned), bytes_(bytes), users_{stream} {
  try {
    data_ = staging.pinned.allocate(bytes, {});
  } catch (const OutOfMemoryError&) {
    if (!staging.warned.exchange(true))
      log(LogLevel::warning,
          message("the system pins no more host memory: ", bytes, " bytes were asked for, ",
                  staging.pinned.stats().used,
                  " are in use. Copies to GPUs, and between GPUs without peer access, go through pageable "
                  "memory, which is slower; leave more of the machine's memory free"));
    allocator_ = &host_allocator();
    users_.clear();
    data_ = allocator_->allocate(bytes, {});
  }
}

}  // namespace miniparallel::cuda
