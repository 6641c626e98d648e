#pragma once

#include "engine/cuda/gpus.h"
#include "engine/memory/caching_allocator.h"

#include <memory>
#include <string>
#include <vector>

namespace miniparallel::cuda {

/// Memory that streams use: marks are pooled events.
class StreamMemory : public MemorySource {
 public:
  explicit StreamMemory(Gpus& gpus) : gpus_(gpus) {}
  void synchronize() override { gpus_.synchronize(); }
  bool waits() const override { return true; }
  Mark record_mark(kernels::Stream stream) override;
  void release_mark(Mark mark) override;

 protected:
  ~StreamMemory() = default;
  /// The block that the call took: null when there is no more memory; other errors are thrown.
  static void* allocated(cudaError_t error, void* block, const char* call);

 private:
  Gpus& gpus_;
};

/// The memory of one GPU.
class DeviceMemory final : public StreamMemory {
 public:
  DeviceMemory(Gpus& gpus, int device) : StreamMemory(gpus), device_(device) {}
  void* take(std::size_t bytes) override;
  void give_back(void* block, std::size_t bytes) override;
  std::string describe() const override;
  bool wait_mark(Mark mark, kernels::Stream stream) override;
  void handed_out(void* block, std::size_t bytes, kernels::Stream stream) override;
  void returned(void* block, std::size_t bytes, kernels::Stream stream) override;

 private:
  int device_;
};

/// Page-locked host memory: GPUs copy from and to it while the host continues.
class PinnedMemory final : public StreamMemory {
 public:
  using StreamMemory::StreamMemory;
  void* take(std::size_t bytes) override;
  void give_back(void* block, std::size_t bytes) override;
  bool wait_mark(Mark mark, kernels::Stream stream) override;
};

/// The caches of the GPUs' memory and of pinned memory. It must end before the GPUs do: marks of one GPU's
/// memory may be events of another.
class Memory {
 public:
  explicit Memory(Gpus& gpus);
  ~Memory() { release(); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  CachingAllocator& operator[](int device);
  CachingAllocator& pinned() { return pinned_; }
  /// Gives all cached memory back; a device that has failed keeps its own.
  void release() noexcept;

 private:
  struct OfDevice {
    OfDevice(Gpus& gpus, int device);
    DeviceMemory source;
    CachingAllocator allocator;
  };

  Gpus& gpus_;
  std::vector<std::unique_ptr<OfDevice>> devices_;
  PinnedMemory pinned_source_;
  CachingAllocator pinned_;
};

}  // namespace miniparallel::cuda
