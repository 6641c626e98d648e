#pragma once
// Stream capture: streams that record their work in a graph instead of queueing it.

#include "core/graph.h"
#include "core/simulation.h"

#include <cuda_runtime_api.h>

#include <memory>
#include <thread>
#include <vector>

namespace miniparallel::simulator {

/// A capture from its beginning to its end, shared by its streams and by the events recorded in them.
struct Capture {
  enum class State { active, invalid, ended };

  State state = State::active;
  std::shared_ptr<Graph> graph = std::make_shared<Graph>();
  unsigned long long id = 0;
  const Stream* origin = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;  ///< that began it
  /// What cudaStreamGetCaptureInfo showed last.
  std::vector<cudaGraphNode_t> dependencies;
  std::vector<cudaGraphEdgeData> edges;

  /// What breaks the rules of capture takes its result away.
  void invalidate() { state = State::invalid; }
};

/// Makes work of a capturing stream a node.
OperationRef record(Stream&, Work work);
/// A stream waits for an event: if one of both is in a capture, the other comes into it or is refused.
cudaError_t join(Stream&, const Event&);
/// Takes the streams out of the capture.
void end(Simulation&, const std::shared_ptr<Capture>&);

// ---- what capture forbids; each invalidates the captures whose rules are broken

/// The error of what graphs cannot hold.
cudaError_t refuse(const Stream& capturing);
/// The legacy stream while a blocking stream of its device captures.
bool is_implicit(const Simulation&, const Stream&, bool invalidates);
/// The error of work that is put into the stream.
cudaError_t capture_error(const Simulation&, const Stream&);
/// The same, or that of the device's state.
cudaError_t stream_error(const Simulation&, const Stream&);
/// The error of a call that captures may forbid, such as an allocation (cudaThreadExchangeStreamCaptureMode).
cudaError_t unsafe_call(const Simulation&);
/// The error of waiting for, or asking about, a stream, an event or a device.
cudaError_t wait_error(const Simulation&, const Stream&);
cudaError_t wait_error(const Simulation&, const Event&);
cudaError_t wait_error(const Simulation&, int device);

}  // namespace miniparallel::simulator
