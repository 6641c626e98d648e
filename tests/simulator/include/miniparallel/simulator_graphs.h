#pragma once
// What launches of graphs start, and faults of it.

#include <cstdint>

namespace miniparallel::simulator {

/// Counted when a launch is made. The calls of a capture are calls, which `Counters` has; the bytes that they
/// move count there with each launch.
struct GraphCounters {
  std::int64_t launches = 0;  ///< into its streams
  std::int64_t nodes = 0;     ///< kernels, copies, library calls and host functions started on it
};

GraphCounters graph_counters(int device);
GraphCounters graph_counters();  ///< summed over the devices
/// What happened since `before`.
GraphCounters operator-(const GraphCounters& after, const GraphCounters& before);

/// The n-th node that launches start on the device from now on fails when it runs with this code. The kernels
/// and copies among them count for `fail_kernel` and `fail_copy`, too. A launch itself fails by
/// `fail_call("cudaGraphLaunch", nth)`.
void fail_graph_node(int device, int nth, int cuda_error = 719 /* cudaErrorLaunchFailure */);

}  // namespace miniparallel::simulator
