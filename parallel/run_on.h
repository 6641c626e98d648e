#pragma once

#include <miniparallel/device.h>

#include <cstddef>
#include <functional>
#include <vector>

namespace miniparallel::parallel {

/// Runs job(i) for every i at devices[i], those of one device in order, in that device's thread; those of
/// devices[0] in the calling thread, whose state - grad mode, dtype, streams, ... - holds in the others too.
/// Returns when all have ended; then the exception of the lowest i is rethrown. The jobs that follow a failed
/// one on its device are left out.
void run_on(const std::vector<Device>& devices, const std::function<void(std::size_t)>& job);

}  // namespace miniparallel::parallel
