// The runtime as the simulated libraries see it: runtime.h.

#include "core/call.h"
#include "core/capture.h"
#include "core/checker.h"

namespace miniparallel::simulator {

cudaError_t enqueue(cudaStream_t handle, Work work, OperationRef* queued) {
  return call("a library call", [&](Simulation& s, Lock&) -> cudaError_t {
    const auto stream = resolve(s, handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = stream_error(s, *stream); error != cudaSuccess) return error;
    const OperationRef operation = append(s, stream, std::move(work));
    if (queued != nullptr) *queued = operation;
    return cudaSuccess;
  });
}

cudaError_t refuse_capture(cudaStream_t handle) {
  return call("a library call", [&](Simulation& s, Lock&) -> cudaError_t {
    const auto stream = resolve(s, handle);
    return stream && stream->capture ? refuse(*stream) : cudaSuccess;
  });
}

void open_gate(const std::shared_ptr<Gate>& gate, std::vector<OperationRef> after) {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  if (!gate->open || after.empty()) gate->after = std::move(after);
  gate->open = true;
  s.changed.notify_all();
}

cudaError_t wait_for(cudaStream_t handle) {
  return call("a wait", [&](Simulation& s, Lock& lock) -> cudaError_t {
    const auto stream = resolve(s, handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    return stream->last ? wait_until_done(s, lock, stream->last) : cudaSuccess;
  });
}

int current_device() { return current_device(simulation()); }
void set_current_device(int device) { HostThread::get(simulation()).device = device; }

int device_count() { return static_cast<int>(simulation().devices.size()); }

int device_of(cudaStream_t handle) {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  const auto stream = resolve(s, handle);
  return stream ? stream->device : -1;
}

int device_of_address(const void* address) {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  const int owner = s.arenas.owner(reinterpret_cast<std::uintptr_t>(address));
  return owner == s.arenas.host() ? -1 : owner;
}

bool peers_enabled(int device, int owner) {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  return s.devices.at(static_cast<std::size_t>(device)).enabled_peers.contains(owner);
}

bool can_access(int device, int owner) { return device == owner || peers_enabled(device, owner); }

void set_sticky_error(cudaError_t error) {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  if (s.sticky == cudaSuccess) s.sticky = error;
  s.changed.notify_all();
}

cudaError_t sticky_error(int device) {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  return state_error(s, device);
}

std::string describe_address(const void* address) {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  return describe_address(s, reinterpret_cast<std::uintptr_t>(address));
}

}  // namespace miniparallel::simulator
