#include "engine/cuda/staging.h"

#include <miniparallel/log.h>

#include "engine/error.h"

namespace miniparallel::cuda {

StagingBlock::StagingBlock(Staging& staging, std::size_t bytes, kernels::Stream stream)
    : allocator_(&staging.pinned_), bytes_(bytes), users_{stream} {
  try {
    data_ = staging.pinned_.allocate(bytes, {});
  } catch (const OutOfMemoryError&) {
    if (!staging.warned_.exchange(true))
      log(LogLevel::warning,
          message("the system pins no more host memory: ", bytes, " bytes were asked for, ",
                  staging.pinned_.stats().used,
                  " are in use. Copies to GPUs, and between GPUs without peer access, go through pageable "
                  "memory, which is slower; leave more of the machine's memory free"));
    allocator_ = &host_allocator();
    users_.clear();
    data_ = allocator_->allocate(bytes, {});
  }
}

}  // namespace miniparallel::cuda
