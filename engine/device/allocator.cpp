#include <miniparallel/memory.h>

#include "engine/capturing.h"
#include "engine/device/accelerator.h"
#include "engine/memory/caching_allocator.h"

#include <utility>

namespace miniparallel {
namespace {

thread_local bool pins_memory = false;

}  // namespace

CachingAllocator& allocator(Device device) {
  return device.is_cpu() ? host_allocator() : accelerator(device).allocator(device.index);
}

Allocation allocate(std::size_t bytes, Device device) {
  if (pins_memory && device.is_cpu() && cuda_device_count() > 0)
    return built_accelerator()->allocate_pinned(bytes);
  if (capturing != nullptr && device.is_cuda()) [[unlikely]] {
    const kernels::Stream recording = stream(device);
    CachingAllocator* const owner = capturing->allocator(device.index);
    if (void* const block = owner->try_allocate(bytes, recording); block != nullptr)
      return {owner, block, recording};
    stop_capture("needs more memory than is free", "use a smaller batch or free tensors");
  }
  CachingAllocator& owner = allocator(device);
  const kernels::Stream user = stream(device);
  return {&owner, owner.allocate(bytes, user), user};
}

bool set_pins_memory(bool on) { return std::exchange(pins_memory, on); }

MemoryStats memory_stats(Device device) { return allocator(device).stats(); }
void reset_peak_memory(Device device) { allocator(device).reset_peak(); }
void empty_cache(Device device) { allocator(device).empty_cache(); }

}  // namespace miniparallel
