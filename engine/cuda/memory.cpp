#include "engine/cuda/memory.h"

#include "engine/capturing.h"
#include "engine/error.h"
#include "engine/memory/pool.h"
#include "kernels/cuda/device/checker_hooks.h"

#include <exception>

namespace miniparallel::cuda {
namespace {

constexpr std::size_t kSmallest = 512;  // least that cudaMalloc hands out; a multiple of every alignment
constexpr std::size_t kSmallestPinned = 4096;

}  // namespace

void* StreamMemory::allocated(cudaError_t error, void* block, const char* call) {
  if (error == cudaSuccess) return block;
  if (error != cudaErrorMemoryAllocation) throw_cuda_error(error, call);
  quietly(error);
  return nullptr;
}

MemorySource::Mark StreamMemory::record_mark(kernels::Stream stream) {
  return {gpus_[stream.device].events.record(stream), stream.device, capture_number()};
}

void StreamMemory::release_mark(Mark mark) {
  gpus_[mark.device].events.give_back(static_cast<cudaEvent_t>(mark.event));
}

void* DeviceMemory::take(std::size_t bytes) {
  const DeviceGuard guard(device_);
  void* block = nullptr;
  const cudaError_t error = cudaMalloc(&block, bytes);
  return allocated(error, block, "cudaMalloc");
}

void DeviceMemory::give_back(void* block, std::size_t) { quietly(cudaFree(block)); }

std::string DeviceMemory::describe() const {
  const DeviceGuard guard(device_);
  std::size_t available = 0, total = 0;
  CUDA_CHECK(cudaMemGetInfo(&available, &total));
  return message(", ", available, " of the device's ", total, " are free");
}

bool DeviceMemory::wait_mark(Mark mark, kernels::Stream stream) {
  // Between a graph and other work the launch of the graph makes the order.
  if (mark.capture != capture_number()) return true;
  CUDA_CHECK(cudaStreamWaitEvent(native(stream), static_cast<cudaEvent_t>(mark.event), 0));
  return true;
}

void DeviceMemory::handed_out(void* block, std::size_t bytes, kernels::Stream stream) {
  kernels::cuda::block_handed_out(block, bytes, stream);
}

void DeviceMemory::returned(void* block, std::size_t, kernels::Stream stream) {
  kernels::cuda::block_returned(block, stream);
}

void* PinnedMemory::take(std::size_t bytes) {
  void* block = nullptr;
  const cudaError_t error = cudaHostAlloc(&block, bytes, cudaHostAllocPortable);
  return allocated(error, block, "cudaHostAlloc");
}

void PinnedMemory::give_back(void* block, std::size_t) { quietly(cudaFreeHost(block)); }

bool PinnedMemory::wait_mark(Mark mark, kernels::Stream) {
  if (mark.capture != 0) return false;  // nobody can ask for a point within a graph
  return is_done(static_cast<cudaEvent_t>(mark.event));
}

Memory::OfDevice::OfDevice(Gpus& gpus, int device)
    : source(gpus, device), allocator(to_string(Device::cuda(device)), source, kSmallest) {}

Memory::Memory(Gpus& gpus)
    : gpus_(gpus), pinned_source_(gpus), pinned_("pinned host memory", pinned_source_, kSmallestPinned) {
  for (int device = 0; device < gpus.count(); ++device)
    devices_.push_back(std::make_unique<OfDevice>(gpus, device));
}

CachingAllocator& Memory::operator[](int device) {
  static_cast<void>(gpus_[device]);  // set up when its memory is first used
  return devices_[static_cast<std::size_t>(device)]->allocator;
}

void Memory::release() noexcept {
  end_retired_pools();
  const auto release = [](CachingAllocator& allocator) {
    try {
      allocator.empty_cache();
    } catch (const std::exception&) {
      // The blocks go with the process.
    }
  };
  release(pinned_);
  for (const std::unique_ptr<OfDevice>& device : devices_) release(device->allocator);
}

}  // namespace miniparallel::cuda
