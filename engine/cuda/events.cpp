#include "engine/cuda/events.h"

namespace miniparallel::cuda {

cudaEvent_t EventPool::take() {
  {
    const std::scoped_lock lock(mutex_);
    if (!events_.empty()) {
      const cudaEvent_t event = events_.back();
      events_.pop_back();
      return event;
    }
  }
  const DeviceGuard guard(device_);
  cudaEvent_t event = nullptr;
  CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  return event;
}

void EventPool::give_back(cudaEvent_t event) noexcept {
  const std::scoped_lock lock(mutex_);
  events_.push_back(event);
}

PooledEvent::PooledEvent(EventPool& pool, kernels::Stream stream) : pool_(pool), event_(pool.take()) {
  if (const cudaError_t error = cudaEventRecord(event_, native(stream)); error != cudaSuccess) {
    pool_.give_back(event_);
    throw_cuda_error(error, "cudaEventRecord");
  }
}

bool is_done(cudaEvent_t event) {
  const cudaError_t error = cudaEventQuery(event);
  if (error == cudaErrorNotReady) {
    quietly(error);
    return false;
  }
  CUDA_CHECK(error);
  return true;
}

}  // namespace miniparallel::cuda
