#pragma once

#include "engine/cuda/memory.h"

#include <atomic>
#include <vector>

namespace miniparallel::cuda {

/// The host memory that copies go through: pinned, or pageable where no more can be pinned, which is logged
/// once. Calls of CUDA that copy from or to pageable memory return when they are done with it.
class Staging {
 public:
  explicit Staging(Memory& memory) : pinned_(memory.pinned()) {}

 private:
  friend class StagingBlock;
  CachingAllocator& pinned_;
  std::atomic<bool> warned_ = false;
};

/// A block that a copy on `stream` goes through: free again when the copy is done.
class StagingBlock {
 public:
  StagingBlock(Staging& staging, std::size_t bytes, kernels::Stream stream);
  ~StagingBlock() { allocator_->deallocate(data_, bytes_, {}, users_); }
  StagingBlock(const StagingBlock&) = delete;
  StagingBlock& operator=(const StagingBlock&) = delete;

  void* data() const { return data_; }

 private:
  CachingAllocator* allocator_;
  std::size_t bytes_;
  std::vector<kernels::Stream> users_;
  void* data_;
};

}  // namespace miniparallel::cuda
