#pragma once

#include <miniparallel/device.h>

#include <cstdint>

namespace miniparallel {

/// The memory that the caching allocator of one device holds, in bytes.
struct MemoryStats {
  std::int64_t used = 0;          ///< held by tensors now
  std::int64_t peak = 0;          ///< the most that was held by tensors
  std::int64_t cached = 0;        ///< freed by tensors and kept for reuse
  std::int64_t allocations = 0;   ///< requests by tensors so far
  std::int64_t system_calls = 0;  ///< requests passed on to the system so far
};

MemoryStats memory_stats(Device device = Device::cpu());

/// Starts a new measurement of `peak`.
void reset_peak_memory(Device device = Device::cpu());

/// Gives every cached block back to the system.
void empty_cache(Device device = Device::cpu());

}  // namespace miniparallel
