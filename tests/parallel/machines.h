#pragma once

#include <miniparallel/device.h>

#include <functional>
#include <vector>

namespace miniparallel::testing {

/// Calls `body` with the devices of machines of 1, 2, 3, 4 and 8 GPUs: simulated ones in two orders of
/// streams, blocks and threads, of which the full run tries others; the one real GPU, named several times;
/// or, in a build for the CPU alone, the CPU named several times.
void on_machines(const std::function<void(const std::vector<Device>& devices)>& body);
/// The same on one machine of `count` GPUs, in one order.
void on_machine(int count, const std::function<void(const std::vector<Device>& devices)>& body);

}  // namespace miniparallel::testing
