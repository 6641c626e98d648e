// Stream capture: its beginning, its end, its state.

#include "core/capture.h"

#include "core/call.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <atomic>

using namespace miniparallel::simulator;

namespace {

std::atomic<unsigned long long> capture_ids = 0;

cudaGraph_t handle_of(const Graph& graph) {
  return reinterpret_cast<cudaGraph_t>(const_cast<Graph*>(&graph));
}

bool is_mode(cudaStreamCaptureMode mode) {
  return mode == cudaStreamCaptureModeGlobal || mode == cudaStreamCaptureModeThreadLocal ||
         mode == cudaStreamCaptureModeRelaxed;
}

/// Whether the stream's newest nodes come after all others.
bool is_joined(const Graph& graph, const std::vector<OperationRef>& tips) {
  std::vector<bool> reached(graph.nodes.size());
  for (const OperationRef& tip : tips) reached[tip->number] = true;
  for (std::size_t i = graph.nodes.size(); i-- > 0;) {
    if (!reached[i]) return false;
    for (const OperationRef& before : graph.nodes[i]->work.after) reached[before->number] = true;
  }
  return true;
}

cudaStreamCaptureStatus status_of(const Stream& stream) {
  if (!stream.capture) return cudaStreamCaptureStatusNone;
  return stream.capture->state == Capture::State::active ? cudaStreamCaptureStatusActive
                                                         : cudaStreamCaptureStatusInvalidated;
}

/// Runs the body of a question that leaves captures valid.
template <typename Body>
cudaError_t ask(const char* name, cudaStream_t handle, Body&& body) {
  return call(name, [&](Simulation& s, Lock&) -> cudaError_t {
    const auto stream = resolve(s, handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (is_implicit(s, *stream, false)) return cudaErrorStreamCaptureImplicit;
    return body(*stream);
  });
}

}  // namespace

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return call("cudaStreamBeginCapture", [&](Simulation& s, Lock&) -> cudaError_t {
    const auto stream = resolve(s, handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (!is_mode(mode)) return cudaErrorInvalidValue;
    if (const cudaError_t error = state_error(s, stream->device); error != cudaSuccess) return error;
    if (stream->legacy) return cudaErrorStreamCaptureUnsupported;
    if (stream->capture) return cudaErrorIllegalState;
    stream->capture = std::make_shared<Capture>();
    stream->capture->id = ++capture_ids;
    stream->capture->origin = stream.get();
    stream->capture->mode = mode;
    stream->capture->thread = std::this_thread::get_id();
    s.captures.push_back(stream->capture);
    s.graphs.emplace(handle_of(*stream->capture->graph), stream->capture->graph);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  return call("cudaStreamEndCapture", [&](Simulation& s, Lock&) -> cudaError_t {
    if (graph == nullptr) return cudaErrorInvalidValue;
    *graph = nullptr;
    const auto stream = resolve(s, handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    const auto capture = stream->capture;
    if (!capture) return cudaErrorIllegalState;
    if (capture->origin != stream.get()) return cudaErrorStreamCaptureUnmatched;
    if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id())
      return cudaErrorStreamCaptureWrongThread;
    cudaError_t error = cudaSuccess;
    if (capture->state == Capture::State::invalid) {
      error = cudaErrorStreamCaptureInvalidated;
    } else if (!is_joined(*capture->graph, stream->tips)) {
      error = cudaErrorStreamCaptureUnjoined;
    }
    end(s, capture);
    if (error == cudaSuccess) {
      *graph = handle_of(*capture->graph);
    } else {
      s.graphs.erase(handle_of(*capture->graph));
    }
    return error;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return ask("cudaStreamIsCapturing", handle, [&](const Stream& stream) {
    *status = status_of(stream);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t handle, cudaStreamCaptureStatus* status,
                                     unsigned long long* id, cudaGraph_t* graph,
                                     const cudaGraphNode_t** nodes, const cudaGraphEdgeData** edges,
                                     std::size_t* count) {
  return ask("cudaStreamGetCaptureInfo", handle, [&](const Stream& stream) {
    if (status == nullptr || (edges != nullptr && nodes == nullptr)) return cudaErrorInvalidValue;
    *status = status_of(stream);
    if (*status != cudaStreamCaptureStatusActive) return cudaSuccess;
    Capture& capture = *stream.capture;
    capture.dependencies.clear();
    for (const OperationRef& step : without_notes(stream.tips))
      capture.dependencies.push_back(reinterpret_cast<cudaGraphNode_t>(step.get()));
    if (id != nullptr) *id = capture.id;
    if (graph != nullptr) *graph = handle_of(*capture.graph);
    if (nodes != nullptr) *nodes = capture.dependencies.data();
    capture.edges.assign(capture.dependencies.size(), {});
    if (edges != nullptr) *edges = capture.edges.data();
    if (count != nullptr) *count = capture.dependencies.size();
    return cudaSuccess;
  });
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  return call("cudaThreadExchangeStreamCaptureMode", [&](Simulation& s, Lock&) -> cudaError_t {
    if (mode == nullptr || !is_mode(*mode)) return cudaErrorInvalidValue;
    std::swap(HostThread::get(s).capture_mode, *mode);
    return cudaSuccess;
  });
}
