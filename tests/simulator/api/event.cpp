// Events. An event stands for the newest operation recorded in it.

#include "core/call.h"
#include "core/capture.h"

#include <cuda_runtime_api.h>

#include <chrono>

using namespace miniparallel::simulator;

namespace {

template <typename Body>
cudaError_t with_event(const char* name, cudaEvent_t handle, Body&& body) {
  return call(name, [&](Simulation& s, Lock& lock) -> cudaError_t {
    const auto found = s.events.find(handle);
    if (found == s.events.end()) return cudaErrorInvalidResourceHandle;
    return body(s, lock, *found->second);
  });
}

}  // namespace

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* handle, unsigned flags) {
  return call("cudaEventCreateWithFlags", [&](Simulation& s, Lock&) -> cudaError_t {
    auto event = std::make_unique<Event>();
    event->device = current_device(s);
    event->flags = flags;
    *handle = reinterpret_cast<cudaEvent_t>(event.get());
    s.events.emplace(*handle, std::move(event));
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* handle) {
  return cudaEventCreateWithFlags(handle, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  return call("cudaEventDestroy", [&](Simulation& s, Lock&) {
    return s.events.erase(handle) == 1 ? cudaSuccess : cudaErrorInvalidResourceHandle;
  });
}

namespace {

cudaError_t record_event(const char* name, cudaEvent_t handle, cudaStream_t stream_handle, unsigned flags) {
  return with_event(name, handle, [&](Simulation& s, Lock&, Event& event) -> cudaError_t {
    const auto stream = resolve(s, stream_handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = stream_error(s, *stream); error != cudaSuccess) return error;
    if (stream->device != event.device) {
      report(Finding::wrong_stream, "an event of device " + std::to_string(event.device) +
                                        " is recorded on a stream of device " +
                                        std::to_string(stream->device));
      return cudaErrorInvalidResourceHandle;
    }
    if (stream->capture && flags == cudaEventRecordExternal) return refuse(*stream);
    ++s.devices[static_cast<std::size_t>(stream->device)].counters.event_records;
    event.capture = stream->capture;
    event.captured = stream->tips;
    event.record = nullptr;
    if (stream->capture) return cudaSuccess;
    event.record = append(s, stream,
                          {.name = "the record of an event",
                           .kind = WorkKind::marker,
                           .accesses = {},
                           .run = {},
                           .after = {},
                           .gate = {}});
    return cudaSuccess;
  });
}

}  // namespace

cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream) {
  return record_event("cudaEventRecord", handle, stream, cudaEventRecordDefault);
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t handle, cudaStream_t stream, unsigned flags) {
  return record_event("cudaEventRecord", handle, stream, flags);
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  return with_event("cudaEventQuery", handle, [](Simulation& s, Lock& lock, Event& event) -> cudaError_t {
    if (const cudaError_t error = wait_error(s, event); error != cudaSuccess) return error;
    if (!event.record) return cudaSuccess;
    if (const cudaError_t error = state_error(s, event.device); error != cudaSuccess) return error;
    return poll(s, lock, OperationRef(event.record)) ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  return with_event("cudaEventSynchronize", handle,
                    [](Simulation& s, Lock& lock, Event& event) -> cudaError_t {
                      complain_about_unread_error(s, "cudaEventSynchronize");
                      if (const cudaError_t error = wait_error(s, event); error != cudaSuccess) return error;
                      ++s.devices[static_cast<std::size_t>(event.device)].counters.host_synchronizations;
                      if (!event.record) return cudaSuccess;
                      return wait_until_done(s, lock, OperationRef(event.record));
                    });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return with_event("cudaEventElapsedTime", start, [&](Simulation& s, Lock&, Event& first) -> cudaError_t {
    const auto found = s.events.find(end);
    if (found == s.events.end()) return cudaErrorInvalidResourceHandle;
    if (first.capture || found->second->capture) return cudaErrorCapturedEvent;
    if (!first.record || !found->second->record) return cudaErrorInvalidResourceHandle;
    if (((first.flags | found->second->flags) & cudaEventDisableTiming) != 0)
      return cudaErrorInvalidResourceHandle;
    const Operation &a = *first.record, &b = *found->second->record;
    if (a.state != Operation::State::done || b.state != Operation::State::done) return cudaErrorNotReady;
    *milliseconds = s.clock ? static_cast<float>((b.end - a.end) * 1e3)
                            : std::chrono::duration<float, std::milli>(b.finished - a.finished).count();
    return cudaSuccess;
  });
}
