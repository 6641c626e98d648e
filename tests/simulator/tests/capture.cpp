// Stream capture: what it records, and the error of each rule that is broken.

#include "capture_support.h"
#include "kernels/correct.h"

#include <nccl.h>

#include <thread>

using namespace simulator_tests;

namespace {

/// The error of a call that is to fail, taken from the thread too.
cudaError_t read(cudaError_t error) {
  CHECK(cudaGetLastError() == error);
  return error;
}

/// A stream that captures, with what tests break its rules with.
struct Capturing {
  explicit Capturing(cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal, int gpus = 1)
      : fresh(machine(gpus)) {
    REQUIRE(cudaStreamBeginCapture(stream, mode) == cudaSuccess);
    fill(x.data(), 1, 100, stream);
  }
  ~Capturing() {
    cudaGraph_t graph = nullptr;
    cudaStreamEndCapture(stream, &graph);
    cudaGetLastError();
  }
  Capturing(const Capturing&) = delete;
  Capturing& operator=(const Capturing&) = delete;

  cudaError_t end() const {
    cudaGraph_t graph = nullptr;
    const cudaError_t error = cudaStreamEndCapture(stream, &graph);
    CHECK((graph != nullptr) == (error == cudaSuccess));
    if (graph != nullptr) CHECK(cudaGraphDestroy(graph) == cudaSuccess);
    return read(error);
  }
  cudaStreamCaptureStatus status() const {
    auto status = cudaStreamCaptureStatusNone;
    CHECK(cudaStreamIsCapturing(stream, &status) == cudaSuccess);
    return status;
  }
  /// Nothing more is recorded, and the end returns no graph.
  void is_invalidated() const {
    CHECK(status() == cudaStreamCaptureStatusInvalidated);
    CHECK(read(cudaMemsetAsync(x.data(), 0, 4, stream)) == cudaErrorStreamCaptureInvalidated);
    CHECK(read(cudaStreamSynchronize(stream)) == cudaErrorStreamCaptureInvalidated);
    CHECK(end() == cudaErrorStreamCaptureInvalidated);
    CHECK(status() == cudaStreamCaptureStatusNone);
    fill(x.data(), 1, 100, stream);
    CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  }

  const FreshMachine fresh;
  const DeviceBuffer<float> x{std::vector<float>(100, 0.0f)};
  const StreamHandle handle, other;
  const EventHandle event;
  const cudaStream_t stream = handle.stream;
};

}  // namespace

TEST_CASE("capture: a diamond over two streams and two devices, in every mode") {
  in_every_mode(2, [] {
    REQUIRE(cudaDeviceEnablePeerAccess(1, 0) == cudaSuccess);
    const DeviceBuffer<float> x(std::vector<float>(100, 0.0f)), y(std::vector<float>(100, 1.0f));
    const StreamHandle first;
    REQUIRE(cudaSetDevice(1) == cudaSuccess);
    REQUIRE(cudaDeviceEnablePeerAccess(0, 0) == cudaSuccess);
    const DeviceBuffer<float> z(std::vector<float>(100, 0.0f));
    const StreamHandle second;
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
    REQUIRE(cudaSetDevice(0) == cudaSuccess);
    const CapturedGraph graph(first.stream, [&] {
      fill(x.data(), 2, 100, first.stream);
      let_wait(second.stream, first.stream);
      saxpy(3, x.data(), y.data(), 100, first.stream);
      {
        const OnDeviceOf device(second.stream);
        saxpy(1, x.data(), z.data(), 100, second.stream);
      }
      let_wait(first.stream, second.stream);
      saxpy(1, z.data(), y.data(), 100, first.stream);
    });
    CHECK(graph.nodes() == 4);
    CHECK(y.download() == std::vector<float>(100, 1.0f));  // nothing has run
    for (int i = 0; i < 2; ++i) graph.launch(first.stream);
    REQUIRE(cudaStreamSynchronize(first.stream) == cudaSuccess);
    CHECK(y.download() == std::vector<float>(100, 1.0f + (6 + 2) + (6 + 4)));
  });
}

TEST_CASE("capture: the nodes tell what they are and what they come after") {
  const FreshMachine fresh(machine(1));
  const DeviceBuffer<float> x(100), y(100);
  const StreamHandle first, second;
  const CapturedGraph graph(first.stream, [&] {
    fill(x.data(), 1, 100, first.stream);
    let_wait(second.stream, first.stream);
    REQUIRE(cudaMemsetAsync(y.data(), 0, 400, second.stream) == cudaSuccess);
    REQUIRE(cudaLaunchHostFunc(first.stream, [](void*) {}, nullptr) == cudaSuccess);
    let_wait(first.stream, second.stream);
    REQUIRE(cudaMemcpyAsync(y.data(), x.data(), 400, cudaMemcpyDefault, first.stream) == cudaSuccess);
  });
  cudaGraphNode_t nodes[5], before[3];
  std::size_t count = 5;
  REQUIRE(cudaGraphGetNodes(graph.graph, nodes, &count) == cudaSuccess);
  REQUIRE(count == 4);
  CHECK(nodes[4] == nullptr);
  const cudaGraphNodeType types[] = {cudaGraphNodeTypeKernel, cudaGraphNodeTypeMemset, cudaGraphNodeTypeHost,
                                     cudaGraphNodeTypeMemcpy};
  for (int i = 0; i < 4; ++i) {
    cudaGraphNodeType type{};
    REQUIRE(cudaGraphNodeGetType(nodes[i], &type) == cudaSuccess);
    CHECK(type == types[i]);
  }
  REQUIRE(cudaGraphNodeGetDependencies(nodes[0], nullptr, nullptr, &count) == cudaSuccess);
  CHECK(count == 0);
  count = 3;
  REQUIRE(cudaGraphNodeGetDependencies(nodes[3], before, nullptr, &count) == cudaSuccess);
  CHECK(count == 2);
  CHECK(before[0] == nodes[2]);
  CHECK(before[1] == nodes[1]);
}

TEST_CASE("capture: a stream tells that it captures, into which graph and after which nodes") {
  const Capturing c;
  auto status = cudaStreamCaptureStatusNone;
  unsigned long long id = 0, other_id = 0;
  cudaGraph_t graph = nullptr;
  const cudaGraphNode_t* nodes = nullptr;
  const cudaGraphEdgeData* edges = nullptr;
  std::size_t count = 0;
  REQUIRE(cudaStreamGetCaptureInfo(c.stream, &status, &id, &graph, &nodes, &edges, &count) == cudaSuccess);
  CHECK(status == cudaStreamCaptureStatusActive);
  CHECK(count == 1);
  cudaGraphNode_t first = nullptr;
  std::size_t one = 1;
  REQUIRE(cudaGraphGetNodes(graph, &first, &one) == cudaSuccess);
  CHECK(nodes[0] == first);
  CHECK(edges[0].type == 0);
  REQUIRE(cudaStreamGetCaptureInfo(c.other.stream, &status, nullptr, nullptr, nullptr, nullptr, nullptr) ==
          cudaSuccess);
  CHECK(status == cudaStreamCaptureStatusNone);
  let_wait(c.other.stream, c.stream);
  REQUIRE(cudaStreamGetCaptureInfo(c.other.stream, &status, &other_id, nullptr, nullptr, nullptr, nullptr) ==
          cudaSuccess);
  CHECK(status == cudaStreamCaptureStatusActive);
  CHECK(other_id == id);
  CHECK(c.end() == cudaSuccess);  // the fork has no work of its own
}

TEST_CASE("capture: where it may begin and end") {
  const Capturing c;
  cudaGraph_t graph = nullptr;
  CHECK(read(cudaStreamBeginCapture(c.stream, cudaStreamCaptureModeGlobal)) == cudaErrorIllegalState);
  CHECK(read(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal)) ==
        cudaErrorStreamCaptureUnsupported);
  CHECK(read(cudaStreamBeginCapture(c.other.stream, static_cast<cudaStreamCaptureMode>(7))) ==
        cudaErrorInvalidValue);
  CHECK(read(cudaStreamEndCapture(c.other.stream, &graph)) == cudaErrorIllegalState);
  CHECK(read(cudaStreamEndCapture(c.stream, nullptr)) == cudaErrorInvalidValue);
  let_wait(c.other.stream, c.stream);
  CHECK(read(cudaStreamEndCapture(c.other.stream, &graph)) == cudaErrorStreamCaptureUnmatched);
  std::thread([&] {
    CHECK(read(cudaStreamEndCapture(c.stream, &graph)) == cudaErrorStreamCaptureWrongThread);
  }).join();
  CHECK(c.end() == cudaSuccess);
}

TEST_CASE("capture: in relaxed mode another thread may end it") {
  const Capturing c(cudaStreamCaptureModeRelaxed);
  std::thread([&] { CHECK(c.end() == cudaSuccess); }).join();
}

TEST_CASE("capture: work that is not joined has no graph") {
  const Capturing c;
  let_wait(c.other.stream, c.stream);
  fill(c.x.data(), 2, 100, c.other.stream);
  CHECK(c.end() == cudaErrorStreamCaptureUnjoined);
  fill(c.x.data(), 3, 100, c.other.stream);
  CHECK(cudaStreamSynchronize(c.other.stream) == cudaSuccess);
  CHECK(c.x.download() == std::vector<float>(100, 3.0f));
}

TEST_CASE("capture: questions to and waits for what is captured invalidate it") {
  const auto invalidates = [](cudaError_t expected, auto&& call) {
    for (const auto mode : {cudaStreamCaptureModeGlobal, cudaStreamCaptureModeRelaxed}) {
      const Capturing c(mode);
      REQUIRE(cudaEventRecord(c.event.event, c.stream) == cudaSuccess);
      CHECK(read(call(c)) == expected);
      c.is_invalidated();
    }
  };
  invalidates(cudaErrorStreamCaptureUnsupported,
              [](const Capturing& c) { return cudaStreamSynchronize(c.stream); });
  invalidates(cudaErrorStreamCaptureUnsupported,
              [](const Capturing& c) { return cudaStreamQuery(c.stream); });
  invalidates(cudaErrorStreamCaptureUnsupported, [](const Capturing&) { return cudaDeviceSynchronize(); });
  invalidates(cudaErrorCapturedEvent, [](const Capturing& c) { return cudaEventSynchronize(c.event.event); });
  invalidates(cudaErrorCapturedEvent, [](const Capturing& c) { return cudaEventQuery(c.event.event); });
  invalidates(cudaErrorStreamCaptureUnsupported, [](const Capturing& c) {
    return cudaStreamAddCallback(c.stream, [](cudaStream_t, cudaError_t, void*) {}, nullptr, 0);
  });
  invalidates(cudaErrorStreamCaptureUnsupported, [](const Capturing& c) {
    void* memory = nullptr;
    return cudaMallocAsync(&memory, 4, c.stream);
  });
  invalidates(cudaErrorStreamCaptureIsolation, [](const Capturing& c) {
    const EventHandle outside;
    REQUIRE(cudaEventRecord(outside.event, c.other.stream) == cudaSuccess);
    return cudaStreamWaitEvent(c.stream, outside.event, 0);
  });
  invalidates(cudaErrorStreamCaptureIsolation, [](const Capturing& c) {
    const EventHandle never_recorded;
    return cudaStreamWaitEvent(c.stream, never_recorded.event, 0);
  });
}

TEST_CASE("capture: collectives cannot be captured") {
  const Capturing c(cudaStreamCaptureModeRelaxed);
  ncclComm_t communicator = nullptr;
  REQUIRE(ncclCommInitAll(&communicator, 1, nullptr) == ncclSuccess);
  CHECK(ncclAllReduce(c.x.data(), c.x.data(), 100, ncclFloat, ncclSum, communicator, c.stream) ==
        ncclUnhandledCudaError);
  CHECK(cudaGetLastError() == cudaErrorStreamCaptureUnsupported);
  c.is_invalidated();
  CHECK(ncclAllReduce(c.x.data(), c.x.data(), 100, ncclFloat, ncclSum, communicator, c.stream) ==
        ncclSuccess);
  CHECK(cudaStreamSynchronize(c.stream) == cudaSuccess);
  CHECK(ncclCommDestroy(communicator) == ncclSuccess);
}

TEST_CASE("capture: a captured event is of no use after the end") {
  const Capturing c;
  REQUIRE(cudaEventRecord(c.event.event, c.stream) == cudaSuccess);
  REQUIRE(c.end() == cudaSuccess);
  CHECK(read(cudaEventQuery(c.event.event)) == cudaErrorCapturedEvent);
  CHECK(read(cudaStreamWaitEvent(c.other.stream, c.event.event, 0)) == cudaErrorCapturedEvent);
  REQUIRE(cudaEventRecord(c.event.event, c.stream) == cudaSuccess);
  CHECK(cudaEventSynchronize(c.event.event) == cudaSuccess);
}

TEST_CASE("capture: two captures cannot merge") {
  const Capturing c;
  REQUIRE(cudaStreamBeginCapture(c.other.stream, cudaStreamCaptureModeGlobal) == cudaSuccess);
  REQUIRE(cudaEventRecord(c.event.event, c.other.stream) == cudaSuccess);
  CHECK(read(cudaStreamWaitEvent(c.stream, c.event.event, 0)) == cudaErrorStreamCaptureMerge);
  cudaGraph_t graph = nullptr;
  CHECK(read(cudaStreamEndCapture(c.other.stream, &graph)) == cudaErrorStreamCaptureInvalidated);
  c.is_invalidated();
}

TEST_CASE("capture: unsafe calls are forbidden, unless the capture or the thread is relaxed") {
  const auto calls = [](const Capturing& c, cudaError_t expected) {
    float on_host = 0;
    void *device = nullptr, *pinned = nullptr;
    CHECK(read(cudaMalloc(&device, 4)) == expected);
    CHECK(read(cudaFree(device)) == expected);
    CHECK(read(cudaMallocHost(&pinned, 4)) == expected);
    CHECK(read(cudaFreeHost(pinned)) == expected);
    CHECK(read(cudaHostRegister(&on_host, 4, 0)) == expected);
    CHECK(read(cudaHostUnregister(&on_host)) == expected);
    CHECK(read(cudaMemcpy(&on_host, c.x.data(), 4, cudaMemcpyDeviceToHost)) == expected);
    CHECK(read(cudaMemset(c.x.data(), 0, 4)) == expected);
    CHECK(read(cudaEventQuery(c.event.event)) == expected);
    CHECK(read(cudaEventSynchronize(c.event.event)) == expected);
    CHECK(read(cudaStreamQuery(c.other.stream)) == expected);
    CHECK(read(cudaStreamSynchronize(c.other.stream)) == expected);
  };
  const auto in_another_thread = [&](const Capturing& c, cudaStreamCaptureMode mode, cudaError_t expected) {
    std::thread([&] {
      CHECK(cudaThreadExchangeStreamCaptureMode(&mode) == cudaSuccess);
      CHECK(mode == cudaStreamCaptureModeGlobal);
      calls(c, expected);
    }).join();
  };
  constexpr auto global = cudaStreamCaptureModeGlobal, local = cudaStreamCaptureModeThreadLocal,
                 relaxed = cudaStreamCaptureModeRelaxed;
  for (const auto mode : {global, local}) {
    const Capturing c(mode);
    calls(c, cudaErrorStreamCaptureUnsupported);
    c.is_invalidated();
  }
  {
    const Capturing c(relaxed);
    calls(c, cudaSuccess);
    in_another_thread(c, global, cudaSuccess);
    CHECK(c.end() == cudaSuccess);
  }
  {
    const Capturing c(global);
    auto mode = relaxed;
    REQUIRE(cudaThreadExchangeStreamCaptureMode(&mode) == cudaSuccess);
    calls(c, cudaSuccess);
    in_another_thread(c, local, cudaSuccess);
    CHECK(c.status() == cudaStreamCaptureStatusActive);
    in_another_thread(c, global, cudaErrorStreamCaptureUnsupported);
    REQUIRE(cudaThreadExchangeStreamCaptureMode(&mode) == cudaSuccess);
    CHECK(mode == relaxed);
    c.is_invalidated();
  }
  const Capturing c(local);
  in_another_thread(c, global, cudaSuccess);
  CHECK(c.end() == cudaSuccess);
}

TEST_CASE("capture: the legacy stream depends on blocking streams, not on others") {
  const FreshMachine fresh(machine(1));
  const DeviceBuffer<float> x(std::vector<float>(100, 0.0f));
  auto status = cudaStreamCaptureStatusActive;
  cudaGraph_t graph = nullptr;
  for (const unsigned flags : {cudaStreamDefault, cudaStreamNonBlocking}) {
    CAPTURE(flags);
    const bool blocking = flags == cudaStreamDefault;
    cudaStream_t stream = nullptr;
    REQUIRE(cudaStreamCreateWithFlags(&stream, flags) == cudaSuccess);
    REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed) == cudaSuccess);
    const cudaError_t expected = blocking ? cudaErrorStreamCaptureImplicit : cudaSuccess;
    CHECK(read(cudaStreamIsCapturing(cudaStreamLegacy, &status)) == expected);
    CHECK(cudaStreamIsCapturing(stream, &status) == cudaSuccess);
    CHECK(status == cudaStreamCaptureStatusActive);
    CHECK(read(cudaMemsetAsync(x.data(), 0, 4, nullptr)) == expected);
    CHECK(read(cudaStreamSynchronize(nullptr)) == expected);
    CHECK(read(cudaStreamEndCapture(stream, &graph)) ==
          (blocking ? cudaErrorStreamCaptureInvalidated : cudaSuccess));
    CHECK(cudaStreamDestroy(stream) == cudaSuccess);
  }
}

TEST_CASE("capture: the legacy stream cannot wait for a captured event") {
  const Capturing c;
  REQUIRE(cudaEventRecord(c.event.event, c.stream) == cudaSuccess);
  CHECK(read(cudaStreamWaitEvent(nullptr, c.event.event, 0)) == cudaErrorStreamCaptureImplicit);
  c.is_invalidated();
}

TEST_CASE("capture: other streams work on meanwhile") {
  const Capturing c(cudaStreamCaptureModeRelaxed);
  const DeviceBuffer<float> y(100);
  fill(y.data(), 2, 100, c.other.stream);
  REQUIRE(cudaStreamSynchronize(c.other.stream) == cudaSuccess);
  CHECK(y.download() == std::vector<float>(100, 2.0f));
  CHECK(c.end() == cudaSuccess);
}
