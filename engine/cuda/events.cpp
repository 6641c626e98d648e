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

cudaEvent_t EventPool::record(kernels::Stream stream) {
  const cudaEvent_t event = take();
  try {
    CUDA_CHECK(cudaEventRecord(event, native(stream)));
  } catch (...) {
    give_back(event);
    throw;
  }
  return event;
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
