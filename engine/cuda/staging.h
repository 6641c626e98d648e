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

  Allocation allocate(std::size_t bytes);

 private:
  CachingAllocator& pinned_;
  std::atomic<bool> warned_ = false;
};

/// A block that a copy on `stream` goes through: free again when the copy is done.
class StagingBlock {
 public:
  StagingBlock(Staging& staging, std::size_t bytes, kernels::Stream stream);
  ~StagingBlock() { block_.allocator->deallocate(block_.data, bytes_, {}, users_); }
  StagingBlock(const StagingBlock&) = delete;
  StagingBlock& operator=(const StagingBlock&) = delete;

  void* data() const { return block_.data; }

 private:
  Allocation block_;
  std::size_t bytes_;
  std::vector<kernels::Stream> users_;
};

}  // namespace miniparallel::cuda
