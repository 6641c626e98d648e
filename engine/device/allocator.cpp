#include <miniparallel/memory.h>

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

Allocation allocate(std::size_t bytes, Device device, kernels::Stream stream) {
  if (pins_memory && device.is_cpu() && cuda_device_count() > 0)
    return built_accelerator()->allocate_pinned(bytes);
  CachingAllocator& owner = allocator(device);
  return {&owner, owner.allocate(bytes, stream)};
}

bool set_pins_memory(bool on) { return std::exchange(pins_memory, on); }

MemoryStats memory_stats(Device device) { return allocator(device).stats(); }
void reset_peak_memory(Device device) { allocator(device).reset_peak(); }
void empty_cache(Device device) { allocator(device).empty_cache(); }

}  // namespace miniparallel
