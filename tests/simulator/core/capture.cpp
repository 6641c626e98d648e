#include "core/capture.h"

#include "core/call.h"

#include <algorithm>

namespace miniparallel::simulator {

OperationRef record(Stream& stream, Work work) {
  auto& nodes = stream.capture->graph->nodes;
  auto node = std::make_shared<Operation>();
  node->number = nodes.size();
  node->device = stream.device;
  node->work = std::move(work);
  node->work.after.insert(node->work.after.end(), stream.tips.begin(), stream.tips.end());
  nodes.push_back(node);
  stream.tips = {node};
  return node;
}

cudaError_t join(Stream& stream, const Event& event) {
  Capture* const mine = stream.capture.get();
  Capture* const theirs = event.capture.get();
  if (theirs == nullptr || theirs->state == Capture::State::ended) {
    if (mine == nullptr) return theirs == nullptr ? cudaSuccess : cudaErrorCapturedEvent;
    mine->invalidate();
    return cudaErrorStreamCaptureIsolation;
  }
  if (theirs->state == Capture::State::invalid) return cudaErrorStreamCaptureInvalidated;
  if (stream.legacy) {
    theirs->invalidate();
    return cudaErrorStreamCaptureImplicit;
  }
  if (mine != nullptr && mine != theirs) {
    mine->invalidate();
    theirs->invalidate();
    return cudaErrorStreamCaptureMerge;
  }
  stream.capture = event.capture;
  for (const OperationRef& node : event.captured)
    if (std::ranges::find(stream.tips, node) == stream.tips.end()) stream.tips.push_back(node);
  return cudaSuccess;
}

void end(Simulation& s, const std::shared_ptr<Capture>& capture) {
  capture->state = Capture::State::ended;
  std::erase(s.captures, capture);
  for (const auto& stream : s.all_streams) {
    if (stream->capture != capture) continue;
    stream->capture.reset();
    stream->tips.clear();
  }
  for (const auto& [handle, event] : s.events)
    if (event->capture == capture) event->captured.clear();
}

cudaError_t refuse(const Stream& capturing) {
  Capture& capture = *capturing.capture;
  if (capture.state == Capture::State::invalid) return cudaErrorStreamCaptureInvalidated;
  capture.invalidate();
  return cudaErrorStreamCaptureUnsupported;
}

bool is_implicit(const Simulation& s, const Stream& stream, bool invalidates) {
  if (!stream.legacy || s.captures.empty()) return false;
  bool found = false;
  for (const auto& other : s.all_streams) {
    if (other->device != stream.device || !other->blocking || !other->capture) continue;
    found = true;
    if (invalidates) other->capture->invalidate();
  }
  return found;
}

cudaError_t capture_error(const Simulation& s, const Stream& stream) {
  if (is_implicit(s, stream, true)) return cudaErrorStreamCaptureImplicit;
  return stream.capture && stream.capture->state == Capture::State::invalid
             ? cudaErrorStreamCaptureInvalidated
             : cudaSuccess;
}

cudaError_t stream_error(const Simulation& s, const Stream& stream) {
  const cudaError_t error = state_error(s, stream.device);
  return error == cudaSuccess ? capture_error(s, stream) : error;
}

cudaError_t unsafe_call(const Simulation& s) {
  const cudaStreamCaptureMode mode = HostThread::get(s).capture_mode;
  cudaError_t error = cudaSuccess;
  for (const auto& capture : s.captures) {
    const bool forbids =
        capture->thread == std::this_thread::get_id()
            ? mode != cudaStreamCaptureModeRelaxed && capture->mode != cudaStreamCaptureModeRelaxed
            : mode == cudaStreamCaptureModeGlobal && capture->mode == cudaStreamCaptureModeGlobal;
    if (!forbids) continue;
    capture->invalidate();
    error = cudaErrorStreamCaptureUnsupported;
  }
  return error;
}

cudaError_t wait_error(const Simulation& s, const Stream& stream) {
  if (stream.capture) return refuse(stream);
  const cudaError_t error = capture_error(s, stream);
  return error == cudaSuccess ? unsafe_call(s) : error;
}

cudaError_t wait_error(const Simulation& s, const Event& event) {
  if (!event.capture) return unsafe_call(s);
  if (event.capture->state == Capture::State::active) event.capture->invalidate();
  return cudaErrorCapturedEvent;
}

cudaError_t wait_error(const Simulation& s, int device) {
  cudaError_t error = cudaSuccess;
  for (const auto& stream : s.all_streams) {
    if (stream->device != device || !stream->capture) continue;
    const cudaError_t refused = refuse(*stream);
    if (error == cudaSuccess) error = refused;
  }
  return error == cudaSuccess ? unsafe_call(s) : error;
}

}  // namespace miniparallel::simulator
