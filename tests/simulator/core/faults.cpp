// Faults on demand and the counters.

#include "core/simulation.h"
#include "miniparallel/simulator_graphs.h"

#include <algorithm>

namespace miniparallel::simulator {
namespace {

template <typename Change>
void change(int device, Change&& apply) {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  apply(s, s.devices.at(static_cast<std::size_t>(device)));
  s.changed.notify_all();
}

}  // namespace

cudaError_t strike(std::vector<Fault>& faults, int device) {
  cudaError_t error = cudaSuccess;
  for (Fault& fault : faults) {
    if (fault.device == device && --fault.countdown == 0) error = fault.error;
  }
  std::erase_if(faults, [](const Fault& fault) { return fault.countdown <= 0; });
  return error;
}

cudaError_t strike(std::vector<CallFault>& faults, std::string_view name) {
  cudaError_t error = cudaSuccess;
  for (CallFault& fault : faults) {
    if (name.starts_with(fault.prefix) && --fault.countdown == 0) error = fault.error;
  }
  std::erase_if(faults, [](const CallFault& fault) { return fault.countdown <= 0; });
  return error;
}

cudaError_t strike(Faults& faults, const Work& work, int device) {
  cudaError_t error = cudaSuccess;
  if (work.kind == WorkKind::kernel) error = strike(faults.kernels, device);
  if (work.kind == WorkKind::copy) error = strike(faults.copies, device);
  if (!work.replayed || !is_step(work.kind)) return error;
  const cudaError_t of_node = strike(faults.graph_nodes, device);
  return error == cudaSuccess ? of_node : error;
}

cudaError_t state_error(const Simulation& s, int device) {
  if (s.sticky != cudaSuccess) return s.sticky;
  return s.devices[static_cast<std::size_t>(device)].lost ? cudaErrorDevicesUnavailable : cudaSuccess;
}

void fail_allocation(int device, int nth) {
  change(device, [=](Simulation& s, DeviceState&) {
    s.faults.allocations.push_back({device, nth, cudaErrorMemoryAllocation});
  });
}

void fail_kernel(int device, int nth, int error) {
  change(device, [=](Simulation& s, DeviceState&) {
    s.faults.kernels.push_back({device, nth, static_cast<cudaError_t>(error)});
  });
}

void fail_copy(int device, int nth, int error) {
  change(device, [=](Simulation& s, DeviceState&) {
    s.faults.copies.push_back({device, nth, static_cast<cudaError_t>(error)});
  });
}

void fail_graph_node(int device, int nth, int error) {
  change(device, [=](Simulation& s, DeviceState&) {
    s.faults.graph_nodes.push_back({device, nth, static_cast<cudaError_t>(error)});
  });
}

void fail_library_call(const std::string& prefix, int nth) {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  s.faults.library_calls.push_back({prefix, nth, cudaErrorUnknown});
}

bool library_call_fails(const std::string& name) {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  return strike(s.faults.library_calls, name) != cudaSuccess;
}

void fail_call(const std::string& prefix, int nth, int error) {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  s.faults.calls.push_back({prefix, nth, static_cast<cudaError_t>(error)});
}

namespace {

/// Calls f for each list of faults that strike once.
template <class F>
void for_each_list(F&& f) {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  f(s.faults.allocations), f(s.faults.kernels), f(s.faults.copies);
  f(s.faults.graph_nodes), f(s.faults.library_calls), f(s.faults.calls);
}

}  // namespace

int faults_to_come() {
  std::size_t count = 0;
  for_each_list([&](const auto& list) { count += list.size(); });
  return static_cast<int>(count);
}

int forget_faults() {
  std::size_t count = 0;
  for_each_list([&](auto& list) {
    count += list.size();
    list.clear();
  });
  return static_cast<int>(count);
}

void lose_device(int device) {
  change(device, [](Simulation&, DeviceState& state) { state.lost = true; });
}

void slow_down(int device, double factor) {
  change(device, [=](Simulation&, DeviceState& state) { state.slowness = factor; });
}

void slow_link(int from, int to, double bytes_per_second) {
  change(from, [=](Simulation& s, DeviceState&) { s.faults.slow_links[{from, to}] = bytes_per_second; });
}

void corrupt_link(int from, int to, Traffic traffic) {
  change(from, [=](Simulation& s, DeviceState&) {
    if (traffic != Traffic::kernel_reads) s.faults.corrupt_copies.emplace(from, to);
    if (traffic != Traffic::copies) s.faults.corrupt_reads.emplace(from, to);
  });
}

// ---- counters

namespace {

constexpr std::int64_t Counters::* totals[] = {&Counters::kernels,
                                               &Counters::library_calls,
                                               &Counters::host_functions,
                                               &Counters::copies,
                                               &Counters::bytes_to_device,
                                               &Counters::bytes_to_host,
                                               &Counters::bytes_on_device,
                                               &Counters::bytes_between_devices,
                                               &Counters::bytes_set,
                                               &Counters::allocations,
                                               &Counters::frees,
                                               &Counters::bytes_allocated,
                                               &Counters::pinned_allocations,
                                               &Counters::host_synchronizations,
                                               &Counters::device_synchronizations,
                                               &Counters::collectives,
                                               &Counters::collective_bytes,
                                               &Counters::event_records,
                                               &Counters::stream_waits};
constexpr std::int64_t Counters::* levels[] = {&Counters::bytes_in_use, &Counters::peak_bytes};

static_assert(sizeof(Counters) == (std::size(totals) + std::size(levels)) * sizeof(std::int64_t),
              "every counter is listed");

}  // namespace

Counters counters(int device) {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  return s.devices.at(static_cast<std::size_t>(device)).counters;
}

Counters counters() {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  Counters sum;
  for (const DeviceState& device : s.devices) {
    for (const auto field : totals) sum.*field += device.counters.*field;
    for (const auto field : levels) sum.*field += device.counters.*field;
  }
  return sum;
}

void add(Counters& sum, const Counters& part) {
  for (const auto field : totals) sum.*field += part.*field;
}

Counters operator-(const Counters& after, const Counters& before) {
  Counters difference = after;
  for (const auto field : totals) difference.*field -= before.*field;
  return difference;
}

GraphCounters graph_counters(int device) {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  return s.devices.at(static_cast<std::size_t>(device)).graph_counters;
}

GraphCounters graph_counters() {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  GraphCounters sum;
  for (const DeviceState& device : s.devices) {
    sum.launches += device.graph_counters.launches;
    sum.nodes += device.graph_counters.nodes;
  }
  return sum;
}

GraphCounters operator-(const GraphCounters& after, const GraphCounters& before) {
  return {after.launches - before.launches, after.nodes - before.nodes};
}

std::int64_t pinned_bytes_in_use() {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  return static_cast<std::int64_t>(s.pinned_bytes);
}

void reset_peak() {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  for (DeviceState& device : s.devices) device.counters.peak_bytes = device.counters.bytes_in_use;
}

void count_collective(int device, std::int64_t bytes) {
  change(device, [=](Simulation&, DeviceState& state) {
    ++state.counters.collectives;
    state.counters.collective_bytes += bytes;
  });
}

void count_library_call(int device) {
  change(device, [](Simulation&, DeviceState& state) { ++state.counters.library_calls; });
}

}  // namespace miniparallel::simulator
