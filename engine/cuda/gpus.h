#pragma once

#include "engine/cuda/events.h"
#include "engine/device/accelerator.h"

#include <array>
#include <atomic>
#include <mutex>
#include <vector>

namespace miniparallel::cuda {

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

/// One GPU in use.
struct Gpu {
  explicit Gpu(int device) : index(device), events(device), streams(device) {}
  int index;
  EventPool events;
  Streams streams;
};

/// The GPUs of the process. A GPU is set up when it is first used.
class Gpus {
 public:
  explicit Gpus(int count) : gpus_(static_cast<std::size_t>(count)) {}
  ~Gpus();
  Gpus(const Gpus&) = delete;
  Gpus& operator=(const Gpus&) = delete;

  int count() const { return static_cast<int>(gpus_.size()); }
  Gpu& operator[](int device);
  /// Waits for all work of the GPU but the trial of a link that hangs.
  void synchronize(const Gpu& gpu) const;
  /// Of all GPUs in use.
  void synchronize() const;

  /// Whether a link hangs: then no further one should be tried, and CUDA can no longer wait for all of a GPU.
  std::atomic<bool> a_link_hangs = false;

 private:
  std::mutex mutex_;  // guards the setting up
  std::vector<std::atomic<Gpu*>> gpus_;
};

}  // namespace miniparallel::cuda
