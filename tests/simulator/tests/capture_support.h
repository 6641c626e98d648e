#pragma once
// Captured graphs for tests.

#include "modes.h"

namespace simulator_tests {

/// Makes a device current while it lives.
class OnDeviceOf {
 public:
  explicit OnDeviceOf(cudaStream_t stream) {
    int device = 0;
    REQUIRE(cudaGetDevice(&previous_) == cudaSuccess);
    REQUIRE(cudaStreamGetDevice(stream, &device) == cudaSuccess);
    REQUIRE(cudaSetDevice(device) == cudaSuccess);
  }
  ~OnDeviceOf() { cudaSetDevice(previous_); }
  OnDeviceOf(const OnDeviceOf&) = delete;
  OnDeviceOf& operator=(const OnDeviceOf&) = delete;

 private:
  int previous_ = 0;
};

/// Lets a stream, of any device, wait for what is in another.
inline void let_wait(cudaStream_t stream, cudaStream_t other) {
  const OnDeviceOf device(other);
  const EventHandle ready;
  REQUIRE(cudaEventRecord(ready.event, other) == cudaSuccess);
  REQUIRE(cudaStreamWaitEvent(stream, ready.event, 0) == cudaSuccess);
}

/// What `record` puts into a stream, and into those that wait for it.
class CapturedGraph {
 public:
  template <typename Record>
  CapturedGraph(cudaStream_t stream, Record&& record) {
    REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) == cudaSuccess);
    record();
    REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
    REQUIRE(cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess);
  }
  ~CapturedGraph() {
    cudaGraphExecDestroy(exec);
    cudaGraphDestroy(graph);
  }
  CapturedGraph(const CapturedGraph&) = delete;
  CapturedGraph& operator=(const CapturedGraph&) = delete;

  void launch(cudaStream_t stream) const { REQUIRE(cudaGraphLaunch(exec, stream) == cudaSuccess); }
  std::size_t nodes() const {
    std::size_t count = 0;
    REQUIRE(cudaGraphGetNodes(graph, nullptr, &count) == cudaSuccess);
    return count;
  }

  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
};

}  // namespace simulator_tests
