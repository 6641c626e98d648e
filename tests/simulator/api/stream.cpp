// Streams and host functions in them.

#include "core/call.h"
#include "core/capture.h"

#include <cuda_runtime_api.h>

using namespace miniparallel::simulator;

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* handle, unsigned flags, int priority) {
  return call("cudaStreamCreateWithPriority", [&](Simulation& s, Lock&) -> cudaError_t {
    if ((flags & ~static_cast<unsigned>(cudaStreamNonBlocking)) != 0) return cudaErrorInvalidValue;
    const int device = current_device(s);
    if (const cudaError_t error = state_error(s, device); error != cudaSuccess) return error;
    const auto stream = make_stream(s, device, flags, std::max(-5, std::min(priority, 0)));
    *handle = reinterpret_cast<cudaStream_t>(stream.get());
    s.streams.emplace(*handle, stream);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* handle, unsigned flags) {
  return cudaStreamCreateWithPriority(handle, flags, 0);
}

cudaError_t cudaStreamCreate(cudaStream_t* handle) {
  return cudaStreamCreateWithFlags(handle, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return call("cudaStreamDestroy", [&](Simulation& s, Lock&) -> cudaError_t {
    const auto found = s.streams.find(handle);
    if (found == s.streams.end()) return cudaErrorInvalidResourceHandle;
    const auto stream = found->second;
    if (stream->capture) return refuse(*stream);
    s.streams.erase(found);
    retire(s, stream);  // queued work still runs
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return call("cudaStreamSynchronize", [&](Simulation& s, Lock& lock) -> cudaError_t {
    complain_about_unread_error(s, "cudaStreamSynchronize");
    const auto stream = resolve(s, handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = wait_error(s, *stream); error != cudaSuccess) return error;
    ++s.devices[static_cast<std::size_t>(stream->device)].counters.host_synchronizations;
    if (const cudaError_t error = state_error(s, stream->device); error != cudaSuccess) return error;
    return stream->last ? wait_until_done(s, lock, stream->last) : cudaSuccess;
  });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return call("cudaStreamQuery", [&](Simulation& s, Lock& lock) -> cudaError_t {
    const auto stream = resolve(s, handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = wait_error(s, *stream); error != cudaSuccess) return error;
    if (const cudaError_t error = state_error(s, stream->device); error != cudaSuccess) return error;
    return !stream->last || poll(s, lock, stream->last) ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned flags) {
  return call("cudaStreamWaitEvent", [&](Simulation& s, Lock&) -> cudaError_t {
    const auto stream = resolve(s, handle);
    const auto found = s.events.find(event);
    if (!stream || found == s.events.end()) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = stream_error(s, *stream); error != cudaSuccess) return error;
    if (stream->capture && flags == cudaEventWaitExternal) return refuse(*stream);
    if (const cudaError_t error = join(*stream, *found->second); error != cudaSuccess) return error;
    ++s.devices[static_cast<std::size_t>(stream->device)].counters.stream_waits;
    if (stream->capture) return cudaSuccess;
    if (!found->second->record) return cudaSuccess;  // never recorded: nothing to wait for, as in CUDA
    append(s, stream,
           {.name = "wait for an event",
            .kind = WorkKind::marker,
            .accesses = {},
            .run = {},
            .after = {found->second->record},
            .gate = {}});
    return cudaSuccess;
  });
}

namespace {

template <typename Get>
cudaError_t ask(const char* name, cudaStream_t handle, Get&& get) {
  return call(name, [&](Simulation& s, Lock&) -> cudaError_t {
    const auto stream = resolve(s, handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    get(*stream);
    return cudaSuccess;
  });
}

cudaError_t enqueue_host_function(const char* name, cudaStream_t handle, bool capturable,
                                  std::function<void()> function) {
  return call(name, [&](Simulation& s, Lock&) -> cudaError_t {
    const auto stream = resolve(s, handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = stream_error(s, *stream); error != cudaSuccess) return error;
    if (stream->capture && !capturable) return refuse(*stream);
    ++s.devices[static_cast<std::size_t>(stream->device)].counters.host_functions;
    append(s, stream,
           {.name = "a host function",
            .kind = WorkKind::host_function,
            .accesses = {},
            .run =
                [function = std::move(function)] {
                  function();
                  return cudaSuccess;
                },
            .after = {},
            .gate = {}});
    return cudaSuccess;
  });
}

}  // namespace

cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned* flags) {
  return ask("cudaStreamGetFlags", handle, [&](const Stream& stream) { *flags = stream.flags; });
}

cudaError_t cudaStreamGetPriority(cudaStream_t handle, int* priority) {
  return ask("cudaStreamGetPriority", handle, [&](const Stream& stream) { *priority = stream.priority; });
}

cudaError_t cudaStreamGetDevice(cudaStream_t handle, int* device) {
  return ask("cudaStreamGetDevice", handle, [&](const Stream& stream) { *device = stream.device; });
}

cudaError_t cudaStreamGetId(cudaStream_t handle, unsigned long long* id) {
  return ask("cudaStreamGetId", handle, [&](const Stream& stream) { *id = stream.id; });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* data) {
  return enqueue_host_function("cudaLaunchHostFunc", handle, true, [=] { function(data); });
}

cudaError_t cudaStreamAddCallback(cudaStream_t handle, cudaStreamCallback_t callback, void* data, unsigned) {
  return enqueue_host_function("cudaStreamAddCallback", handle, false,
                               [=] { callback(handle, cudaSuccess, data); });
}
