#pragma once

#include "engine/cuda/events.h"
#include "engine/device/accelerator.h"
#include "engine/memory/caching_allocator.h"

#include <array>

namespace miniparallel::cuda {

class Runtime;

/// The streams of one device. They do not wait for the legacy default stream.
class Streams {
 public:
  explicit Streams(int device);
  ~Streams();
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;

  kernels::Stream operator[](StreamKind kind) const {
    return {streams_[static_cast<std::size_t>(kind)], device_};
  }

 private:
  int device_;
  std::array<cudaStream_t, 3> streams_{};
};

/// Memory that streams use: marks are pooled events.
class StreamMemory : public MemorySource {
 public:
  explicit StreamMemory(Runtime& runtime) : runtime_(runtime) {}
  Mark mark(kernels::Stream stream) override;
  void drop(Mark mark) override;

 protected:
  ~StreamMemory() = default;
  /// What the call took: null when there is no more memory; other errors are thrown.
  static void* allocated(cudaError_t error, void* block, const char* call);

  Runtime& runtime_;
};

/// The memory of one GPU.
class DeviceMemory final : public StreamMemory {
 public:
  DeviceMemory(Runtime& runtime, int device) : StreamMemory(runtime), device_(device) {}
  void* take(std::size_t bytes) override;
  void give_back(void* block, std::size_t bytes) override;
  void settle() override;
  std::string describe() const override;
  bool pass(Mark mark, kernels::Stream stream) override;
  void handed_out(void* block, std::size_t bytes, kernels::Stream stream) override;
  void returned(void* block, std::size_t bytes, kernels::Stream stream) override;

 private:
  int device_;
};

/// One GPU in use.
struct Gpu {
  Gpu(Runtime& runtime, int device);
  int index;
  EventPool events;
  Streams streams;
  DeviceMemory memory;
  CachingAllocator allocator;
};

}  // namespace miniparallel::cuda
