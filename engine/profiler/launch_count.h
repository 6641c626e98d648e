#pragma once

#include <miniparallel/device.h>

#include <cstdint>

namespace miniparallel::profiler {

/// Notes that the calling thread launches a kernel, or a routine of a library, on the device.
void count_launch(Device device);
/// How many have been noted so far, by all threads.
std::int64_t launch_count(Device device);

}  // namespace miniparallel::profiler
