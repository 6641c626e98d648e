// Device and pinned memory.

#include "core/memory.h"

#include "core/call.h"
#include "core/capture.h"
#include "core/checker.h"

#include <cuda_runtime_api.h>

using namespace miniparallel::simulator;

namespace {

template <typename T>
T* pointer(std::uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

cudaError_t allocate_on(Simulation& s, int owner, void** memory, std::size_t bytes) {
  *memory = nullptr;
  if (bytes == 0) return cudaSuccess;
  Allocation* const allocation = allocate(s, owner, bytes);
  if (allocation == nullptr) return cudaErrorMemoryAllocation;
  if (Checker* const check = checker()) check->allocated(*allocation);
  *memory = pointer<void>(allocation->begin);
  return cudaSuccess;
}

cudaError_t allocate_pinned(const char* name, void** memory, std::size_t bytes) {
  return call(name, [&](Simulation& s, Lock&) -> cudaError_t {
    if (const cudaError_t error = unsafe_call(s); error != cudaSuccess) return error;
    ++s.devices[static_cast<std::size_t>(current_device(s))].counters.pinned_allocations;
    return allocate_on(s, s.arenas.host(), memory, bytes);
  });
}

}  // namespace

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  return call("cudaMalloc", [&](Simulation& s, Lock&) -> cudaError_t {
    if (const cudaError_t error = unsafe_call(s); error != cudaSuccess) return error;
    const int device = current_device(s);
    if (const cudaError_t error = state_error(s, device); error != cudaSuccess) return error;
    return allocate_on(s, device, memory, bytes);
  });
}

cudaError_t cudaFree(void* memory) {
  return call("cudaFree", [&](Simulation& s, Lock&) -> cudaError_t {
    if (const cudaError_t error = unsafe_call(s); error != cudaSuccess) return error;
    const Place place = place_of(s, memory);
    if (memory == nullptr) return cudaSuccess;
    if (place.device >= 0) {
      if (const cudaError_t error = state_error(s, place.device); error != cudaSuccess) return error;
    }
    return release(s, memory, place.device, "cudaFree", s.host);
  });
}

cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  return allocate_pinned("cudaMallocHost", memory, bytes);
}

cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned) {
  return allocate_pinned("cudaHostAlloc", memory, bytes);
}

cudaError_t cudaFreeHost(void* memory) {
  return call("cudaFreeHost", [&](Simulation& s, Lock&) -> cudaError_t {
    if (const cudaError_t error = unsafe_call(s); error != cudaSuccess) return error;
    return memory == nullptr ? cudaSuccess : release(s, memory, s.arenas.host(), "cudaFreeHost", s.host);
  });
}

cudaError_t cudaHostRegister(void* memory, std::size_t bytes, unsigned flags) {
  return call("cudaHostRegister", [&](Simulation& s, Lock&) -> cudaError_t {
    if (const cudaError_t error = unsafe_call(s); error != cudaSuccess) return error;
    if (memory == nullptr || bytes == 0) return cudaErrorInvalidValue;
    if (place_of(s, memory).space != Space::pageable) return cudaErrorHostMemoryAlreadyRegistered;
    if (bytes > room(s, s.arenas.host())) return cudaErrorMemoryAllocation;
    s.pinned_bytes += bytes;
    s.registered[reinterpret_cast<std::uintptr_t>(memory)] = {bytes, flags};
    return cudaSuccess;
  });
}

cudaError_t cudaHostUnregister(void* memory) {
  return call("cudaHostUnregister", [&](Simulation& s, Lock&) -> cudaError_t {
    if (const cudaError_t error = unsafe_call(s); error != cudaSuccess) return error;
    const auto found = s.registered.find(reinterpret_cast<std::uintptr_t>(memory));
    if (found == s.registered.end()) return cudaErrorHostMemoryNotRegistered;
    s.pinned_bytes -= found->second.first;
    s.registered.erase(found);
    return cudaSuccess;
  });
}

cudaError_t cudaHostGetDevicePointer(void** device_pointer, void* host_pointer, unsigned) {
  return call("cudaHostGetDevicePointer", [&](Simulation& s, Lock&) -> cudaError_t {
    if (place_of(s, host_pointer).space != Space::pinned) return cudaErrorInvalidValue;
    *device_pointer = host_pointer;
    return cudaSuccess;
  });
}

cudaError_t cudaMemGetInfo(std::size_t* available, std::size_t* total) {
  return call("cudaMemGetInfo", [&](Simulation& s, Lock&) -> cudaError_t {
    const int device = current_device(s);
    if (const cudaError_t error = state_error(s, device); error != cudaSuccess) return error;
    *total = s.devices[static_cast<std::size_t>(device)].gpu.memory;
    *available = room(s, device);
    return cudaSuccess;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* memory) {
  return call("cudaPointerGetAttributes", [&](Simulation& s, Lock&) -> cudaError_t {
    const Place place = place_of(s, memory);
    auto* const address = const_cast<void*>(memory);
    *attributes = {};
    attributes->type = place.space == Space::device   ? cudaMemoryTypeDevice
                       : place.space == Space::pinned ? cudaMemoryTypeHost
                                                      : cudaMemoryTypeUnregistered;
    attributes->device = place.device >= 0              ? place.device
                         : place.space == Space::pinned ? current_device(s)
                                                        : -1;
    attributes->devicePointer = place.space == Space::pageable ? nullptr : address;
    attributes->hostPointer = place.space == Space::device ? nullptr : address;
    return cudaSuccess;
  });
}

// Stream-ordered allocation: the address is known at once,
// the memory is valid between the two places in the streams.

cudaError_t cudaMallocAsync(void** memory, std::size_t bytes, cudaStream_t handle) {
  return call("cudaMallocAsync", [&](Simulation& s, Lock&) -> cudaError_t {
    const auto stream = resolve(s, handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (stream->capture) return refuse(*stream);  // graphs own no memory here
    if (const cudaError_t error = stream_error(s, *stream); error != cudaSuccess) return error;
    return allocate_on(s, stream->device, memory, bytes);
  });
}

cudaError_t cudaFreeAsync(void* memory, cudaStream_t handle) {
  return call("cudaFreeAsync", [&](Simulation& s, Lock&) -> cudaError_t {
    const auto stream = resolve(s, handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (stream->capture) return refuse(*stream);  // graphs own no memory here
    if (const cudaError_t error = capture_error(s, *stream); error != cudaSuccess) return error;
    if (memory == nullptr) return cudaSuccess;
    append(s, stream,
           {.name = "cudaFreeAsync",
            .kind = WorkKind::host_function,
            .accesses = {},
            .run =
                [&s, memory] {
                  const Lock lock(s.mutex);
                  const int owner = s.arenas.owner(reinterpret_cast<std::uintptr_t>(memory));
                  return release(s, memory, owner, "cudaFreeAsync", executing_operation().clock);
                },
            .after = {},
            .gate = {}});
    return cudaSuccess;
  });
}
