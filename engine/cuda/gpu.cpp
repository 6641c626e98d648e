#include "engine/cuda/gpu.h"

#include "engine/cuda/runtime.h"
#include "engine/error.h"
#include "kernels/cuda/device/checker_hooks.h"

namespace miniparallel::cuda {
namespace {

constexpr std::size_t kSmallest = 512;  // what cudaMalloc hands out at least; a multiple of every alignment

}  // namespace

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

void* StreamMemory::allocated(cudaError_t error, void* block, const char* call) {
  if (error == cudaSuccess) return block;
  if (error != cudaErrorMemoryAllocation) throw_cuda_error(error, call);
  quietly(error);
  return nullptr;
}

MemorySource::Mark StreamMemory::mark(kernels::Stream stream) {
  return {runtime_.gpu(stream.device).events.record(stream), stream.device};
}

void StreamMemory::drop(Mark mark) {
  runtime_.gpu(mark.device).events.give_back(static_cast<cudaEvent_t>(mark.event));
}

void* DeviceMemory::take(std::size_t bytes) {
  const DeviceGuard guard(device_);
  void* block = nullptr;
  const cudaError_t error = cudaMalloc(&block, bytes);
  return allocated(error, block, "cudaMalloc");
}

void DeviceMemory::give_back(void* block, std::size_t) { quietly(cudaFree(block)); }

void DeviceMemory::settle() { runtime_.synchronize_all(); }

std::string DeviceMemory::describe() const {
  const DeviceGuard guard(device_);
  std::size_t available = 0, total = 0;
  CUDA_CHECK(cudaMemGetInfo(&available, &total));
  return message(", ", available, " of the device's ", total, " are free");
}

bool DeviceMemory::pass(Mark mark, kernels::Stream stream) {
  CUDA_CHECK(cudaStreamWaitEvent(native(stream), static_cast<cudaEvent_t>(mark.event), 0));
  return true;
}

void DeviceMemory::handed_out(void* block, std::size_t bytes, kernels::Stream stream) {
  kernels::cuda::block_handed_out(block, bytes, stream);
}

void DeviceMemory::returned(void* block, std::size_t, kernels::Stream stream) {
  kernels::cuda::block_returned(block, stream);
}

Gpu::Gpu(Runtime& runtime, int device)
    : index(device),
      events(device),
      streams(device),
      memory(runtime, device),
      allocator(to_string(Device::cuda(device)), memory, kSmallest) {}

}  // namespace miniparallel::cuda
