#include "engine/cuda/gpus.h"

#include "engine/capturing.h"
#include "engine/error.h"
#include "kernels/cuda/device/probe.h"

namespace miniparallel::cuda {

Streams::Streams(int device) : device_(device) {
  const DeviceGuard guard(device);
  int lowest = 0, highest = 0;
  CUDA_CHECK(cudaDeviceGetStreamPriorityRange(&lowest, &highest));
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    const bool urgent = static_cast<StreamKind>(i) == StreamKind::communication;
    CUDA_CHECK(cudaStreamCreateWithPriority(&streams_[i], cudaStreamNonBlocking, urgent ? highest : lowest));
  }
}

Streams::~Streams() {
  for (const cudaStream_t stream : streams_) quietly(cudaStreamDestroy(stream));
}

Gpus::~Gpus() {
  for (const std::atomic<Gpu*>& gpu : gpus_) delete gpu.load();
}

Gpu& Gpus::operator[](int device) {
  std::atomic<Gpu*>& slot = gpus_[static_cast<std::size_t>(device)];
  if (Gpu* const ready = slot.load(std::memory_order_acquire)) return *ready;
  const std::scoped_lock lock(mutex_);
  if (Gpu* const ready = slot.load(std::memory_order_relaxed)) return *ready;
  if (device > 0)  // device 0 was probed by the discovery
    if (const std::string reason = kernels::cuda::probe(device); !reason.empty())
      fail(Device::cuda(device), ": ", reason);
  Gpu* const made = new Gpu(device);
  slot.store(made, std::memory_order_release);
  return *made;
}

void GraphOrder::follow(kernels::Stream stream) {
  const std::scoped_lock lock(mutex_);
  cudaEvent_t event = behind_.load(std::memory_order_acquire);
  if (event == nullptr) return;
  CUDA_CHECK(cudaStreamWaitEvent(native(stream), event, 0));
  behind_.compare_exchange_strong(event, nullptr);
}

void Gpus::synchronize(const Gpu& gpu) const {
  miniparallel::check(capturing == nullptr, "a GPU cannot be waited for while a step is captured");
  const std::shared_lock lock(recording);
  const DeviceGuard guard(gpu.index);
  if (!a_link_hangs) {
    CUDA_CHECK(cudaDeviceSynchronize());
    return;
  }
  for (const StreamKind kind : {StreamKind::compute, StreamKind::communication, StreamKind::copy})
    CUDA_CHECK(cudaStreamSynchronize(native(gpu.streams[kind])));
}

void Gpus::synchronize() const {
  for (const std::atomic<Gpu*>& slot : gpus_) {
    const Gpu* const used = slot.load(std::memory_order_acquire);
    if (used != nullptr) synchronize(*used);
  }
}

}  // namespace miniparallel::cuda
