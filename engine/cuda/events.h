#pragma once

#include "kernels/cuda/device/device_guard.h"
#include "kernels/stream.h"

#include <cuda_runtime_api.h>

#include <mutex>
#include <vector>

namespace miniparallel::cuda {

inline cudaStream_t native(kernels::Stream stream) { return static_cast<cudaStream_t>(stream.handle); }

/// Events without timing of one device, kept for reuse. Thread-safe.
class EventPool {
 public:
  explicit EventPool(int device) : device_(device) {}
  ~EventPool() {
    for (const cudaEvent_t event : events_) quietly(cudaEventDestroy(event));
  }
  EventPool(const EventPool&) = delete;
  EventPool& operator=(const EventPool&) = delete;

  cudaEvent_t take();
  /// Takes one that marks the work now enqueued on the stream, of this device.
  cudaEvent_t record(kernels::Stream stream);
  void give_back(cudaEvent_t event) noexcept;

 private:
  int device_;
  std::mutex mutex_;
  std::vector<cudaEvent_t> events_;
};

/// A pooled event for as long as it lives.
class PooledEvent {
 public:
  /// Marks the work now enqueued on the stream.
  PooledEvent(EventPool& pool, kernels::Stream stream) : pool_(pool), event_(pool.record(stream)) {}
  ~PooledEvent() { pool_.give_back(event_); }
  PooledEvent(const PooledEvent&) = delete;
  PooledEvent& operator=(const PooledEvent&) = delete;

  /// Work enqueued on `stream` from now on waits.
  void make_wait(kernels::Stream stream) const { CUDA_CHECK(cudaStreamWaitEvent(native(stream), event_, 0)); }
  /// The host waits.
  void synchronize() const { CUDA_CHECK(cudaEventSynchronize(event_)); }

 private:
  EventPool& pool_;
  cudaEvent_t event_;
};

/// cudaEventQuery as a yes or no.
bool is_done(cudaEvent_t event);

}  // namespace miniparallel::cuda
