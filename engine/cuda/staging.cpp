#include "engine/cuda/staging.h"

#include <miniparallel/log.h>

#include "engine/error.h"

namespace miniparallel::cuda {

Allocation Staging::allocate(std::size_t bytes) {
  try {
    return {&pinned_, pinned_.allocate(bytes, {})};
  } catch (const OutOfMemoryError&) {
    if (!warned_.exchange(true))
      log(LogLevel::warning,
          message("the system pins no more host memory: ", bytes, " bytes were asked for, ",
                  pinned_.stats().used,
                  " are in use. Copies to GPUs, and between GPUs without peer access, go through pageable "
                  "memory, which is slower; leave more of the machine's memory free"));
    return {&host_allocator(), host_allocator().allocate(bytes, {})};
  }
}

StagingBlock::StagingBlock(Staging& staging, std::size_t bytes, kernels::Stream stream)
    : block_(staging.allocate(bytes)), bytes_(bytes) {
  if (block_.allocator != &host_allocator()) users_.push_back(stream);
}

}  // namespace miniparallel::cuda
