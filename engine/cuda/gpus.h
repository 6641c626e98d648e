#pragma once

#include "engine/cuda/events.h"
#include "engine/device/accelerator.h"

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <vector>

namespace miniparallel::cuda {

inline constexpr std::size_t kStreamKinds = 3;

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
  std::array<cudaStream_t, kStreamKinds> streams_{};
};

/// How a stream stands to graphs, which run on one stream for all that they use.
class GraphOrder {
 public:
  /// Before work is enqueued: the stream waits for the graph that it must follow.
  void enqueue(kernels::Stream stream) {
    if (!used_.load(std::memory_order_relaxed)) used_.store(true, std::memory_order_relaxed);
    if (behind_.load(std::memory_order_acquire) != nullptr) [[unlikely]]
      follow(stream);
  }
  /// Whether work may have been enqueued since this was asked before.
  bool take_used() { return used_.exchange(false, std::memory_order_relaxed); }
  /// What is enqueued from now on comes after the event.
  void put_behind(cudaEvent_t event) { behind_.store(event, std::memory_order_release); }
  /// The event has come to pass.
  void forget(cudaEvent_t event) { behind_.compare_exchange_strong(event, nullptr); }

 private:
  void follow(kernels::Stream stream);

  std::atomic<bool> used_ = true;
  std::atomic<cudaEvent_t> behind_ = nullptr;
  std::mutex mutex_;
};

/// One GPU in use.
struct Gpu {
  explicit Gpu(int device) : index(device), events(device), streams(device) {}
  int index;
  EventPool events;
  Streams streams;
  std::array<GraphOrder, kStreamKinds> graph_order;  ///< of `streams`
  std::unique_ptr<const Streams> recording;          ///< to capture work with; null before the first capture

  /// The stream, for work that comes next.
  kernels::Stream stream(StreamKind kind) {
    const kernels::Stream stream = streams[kind];
    graph_order[static_cast<std::size_t>(kind)].enqueue(stream);
    return stream;
  }
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
  /// Null for one that is not in use.
  Gpu* in_use(int device) const {
    return gpus_[static_cast<std::size_t>(device)].load(std::memory_order_acquire);
  }
  /// Waits for all work of the GPU but the trial of a link that hangs.
  void synchronize(const Gpu& gpu) const;
  /// Of all GPUs in use.
  void synchronize() const;

  /// Whether a link hangs: then no further one should be tried, and CUDA can no longer wait for all of a GPU.
  std::atomic<bool> a_link_hangs = false;
  /// Held while work is recorded, when no thread may wait for all of a GPU.
  mutable std::shared_mutex recording;

 private:
  std::mutex mutex_;  // guards the setting up
  std::vector<std::atomic<Gpu*>> gpus_;
};

}  // namespace miniparallel::cuda
