#include "engine/profiler/launch_count.h"

#include <algorithm>
#include <array>
#include <atomic>

namespace miniparallel::profiler {
namespace {

/// A line of the cache each: one thread at a time launches on a device, as a rule.
struct alignas(64) Count {
  std::atomic<std::int64_t> launches = 0;
};

/// The CPU's, then those of GPUs; the last is shared by all GPUs further on.
std::atomic<std::int64_t>& count_of(Device device) {
  static std::array<Count, 65> counts;
  return counts[static_cast<std::size_t>(std::clamp(device.is_cpu() ? 0 : device.index + 1, 0, 64))].launches;
}

}  // namespace

void count_launch(Device device) { count_of(device).fetch_add(1, std::memory_order_relaxed); }

std::int64_t launch_count(Device device) { return count_of(device).load(std::memory_order_relaxed); }

}  // namespace miniparallel::profiler
