#include <miniparallel/memory.h>

#include "engine/device/accelerator.h"
#include "engine/memory/caching_allocator.h"

namespace miniparallel {

CachingAllocator& allocator(Device device) {
  return device.is_cpu() ? host_allocator() : accelerator(device).allocator(device.index);
}

MemoryStats memory_stats(Device device) { return allocator(device).stats(); }
void reset_peak_memory(Device device) { allocator(device).reset_peak(); }
void empty_cache(Device device) { allocator(device).empty_cache(); }

}  // namespace miniparallel
