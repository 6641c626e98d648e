#pragma once

#include "engine/cuda/gpu.h"

#include <atomic>

namespace miniparallel::cuda {

/// Page-locked host memory: GPUs copy from and to it while the host goes on.
class PinnedMemory final : public StreamMemory {
 public:
  using StreamMemory::StreamMemory;
  void* take(std::size_t bytes) override;
  void give_back(void* block, std::size_t bytes) override;
  void settle() override;
  bool pass(Mark mark, kernels::Stream stream) override;
};

/// The host memory that copies go through.
struct Staging {
  explicit Staging(Runtime& runtime) : source(runtime), pinned("pinned host memory", source, 4096) {}

  PinnedMemory source;
  CachingAllocator pinned;
  std::atomic<bool> warned = false;
};

/// A block that a copy on `stream` goes through: free again when the copy is done. Where no more memory can
/// be pinned it is pageable, which is logged once; calls of CUDA that copy from or to it return when they are
/// done with it.
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
