// Streams are asynchronous, events order them, host functions
// run in order, errors appear where CUDA shows them.

#include <miniparallel/simulator_history.h>

#include "kernels/correct.h"
#include "modes.h"

#include <chrono>
#include <thread>

using namespace simulator_tests;

TEST_CASE("streams: an event orders two streams in every mode") {
  in_every_mode(1, [] {
    const DeviceBuffer<float> x(std::vector<float>(100, 0.0f)), y(std::vector<float>(100, 1.0f));
    const StreamHandle first, second;
    const EventHandle ready;
    fill(x.data(), 2, 100, first.stream);
    REQUIRE(cudaEventRecord(ready.event, first.stream) == cudaSuccess);
    REQUIRE(cudaStreamWaitEvent(second.stream, ready.event, 0) == cudaSuccess);
    saxpy(3, x.data(), y.data(), 100, second.stream);
    REQUIRE(cudaStreamSynchronize(second.stream) == cudaSuccess);
    CHECK(y.download() == std::vector<float>(100, 7.0f));
  });
}

TEST_CASE("streams: lazy work runs only when something waits for it") {
  const FreshMachine fresh(machine(1));
  const StreamHandle stream;
  int calls = 0;
  const auto count = [](void* data) { ++*static_cast<int*>(data); };
  REQUIRE(cudaLaunchHostFunc(stream.stream, count, &calls) == cudaSuccess);
  REQUIRE(cudaLaunchHostFunc(stream.stream, count, &calls) == cudaSuccess);
  CHECK(calls == 0);
  CHECK(cudaStreamQuery(stream.stream) == cudaErrorNotReady);
  CHECK(calls == 1);
  REQUIRE(cudaStreamSynchronize(stream.stream) == cudaSuccess);
  CHECK(calls == 2);
  CHECK(cudaStreamQuery(stream.stream) == cudaSuccess);
}

TEST_CASE("streams: the legacy default stream waits for blocking streams and they for it") {
  in_every_mode(1, [] {
    const DeviceBuffer<float> x(std::vector<float>(100, 0.0f));
    cudaStream_t stream = nullptr;
    REQUIRE(cudaStreamCreate(&stream) == cudaSuccess);
    fill(x.data(), 1, 100, stream);
    saxpy(1, x.data(), x.data(), 100);
    saxpy(1, x.data(), x.data(), 100, stream);
    REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
    CHECK(x.download() == std::vector<float>(100, 4.0f));
    REQUIRE(cudaStreamDestroy(stream) == cudaSuccess);
  });
}

TEST_CASE("streams: a pageable source is read at the call, a pinned one when the copy runs") {
  const FreshMachine fresh(machine(1));
  const DeviceBuffer<int> from_pageable(std::size_t{1}), from_pinned(std::size_t{1});
  const StreamHandle stream;
  int* pinned = nullptr;
  REQUIRE(cudaMallocHost(reinterpret_cast<void**>(&pinned), sizeof(int)) == cudaSuccess);
  int pageable = *pinned = 1;
  cudaMemcpyAsync(from_pageable.data(), &pageable, sizeof(int), cudaMemcpyHostToDevice, stream.stream);
  cudaMemcpyAsync(from_pinned.data(), pinned, sizeof(int), cudaMemcpyHostToDevice, stream.stream);
  pageable = *pinned = 2;
  REQUIRE(cudaStreamSynchronize(stream.stream) == cudaSuccess);
  CHECK(from_pageable.download()[0] == 1);
  CHECK(from_pinned.download()[0] == 2);
  CHECK(cudaFreeHost(pinned) == cudaSuccess);
}

TEST_CASE("streams: a host function may not call CUDA") {
  const FreshMachine fresh(machine(1));
  cudaError_t seen = cudaSuccess;
  const auto ask = [](void* data) {
    int device = 0;
    *static_cast<cudaError_t*>(data) = cudaGetDevice(&device);
  };
  REQUIRE(cudaLaunchHostFunc(nullptr, ask, &seen) == cudaSuccess);
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  CHECK(seen == cudaErrorNotPermitted);
}

TEST_CASE("streams: memory allocated and freed in stream order") {
  in_every_mode(1, [] {
    const DeviceBuffer<float> y(std::vector<float>(100, 1.0f));
    const StreamHandle stream;
    float* x = nullptr;
    REQUIRE(cudaMallocAsync(reinterpret_cast<void**>(&x), 400, stream.stream) == cudaSuccess);
    fill(x, 2, 100, stream.stream);
    saxpy(1, x, y.data(), 100, stream.stream);
    REQUIRE(cudaFreeAsync(x, stream.stream) == cudaSuccess);
    REQUIRE(cudaStreamSynchronize(stream.stream) == cudaSuccess);
    CHECK(y.download() == std::vector<float>(100, 3.0f));
    CHECK(sim::counters().bytes_in_use == 400);
  });
}

TEST_CASE("streams: a destroyed stream finishes its work") {
  in_every_mode(1, [] {
    const DeviceBuffer<float> x(std::vector<float>(100, 0.0f));
    cudaStream_t stream = nullptr;
    REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
    fill(x.data(), 5, 100, stream);
    REQUIRE(cudaStreamDestroy(stream) == cudaSuccess);
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
    CHECK(x.download() == std::vector<float>(100, 5.0f));
  });
}

TEST_CASE("streams: what waits for a device waits for streams that ended before, too") {
  in_every_mode(1, [] {
    const DeviceBuffer<float> x(std::vector<float>(100, 0.0f)), y(std::vector<float>(100, 0.0f));
    cudaStream_t first = nullptr, second = nullptr;
    REQUIRE(cudaStreamCreate(&first) == cudaSuccess);
    REQUIRE(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking) == cudaSuccess);
    fill(x.data(), 5, 100, first);
    fill(y.data(), 7, 100, second);
    REQUIRE(cudaStreamDestroy(first) == cudaSuccess);
    REQUIRE(cudaStreamDestroy(second) == cudaSuccess);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // threads of streams come to their end
    saxpy(1, x.data(), x.data(), 100);                          // on the legacy default stream
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
    CHECK(x.download() == std::vector<float>(100, 10.0f));
    CHECK(y.download() == std::vector<float>(100, 7.0f));
  });
}

TEST_CASE("errors: last, peeked, and cleared") {
  const FreshMachine fresh(machine(1));
  CHECK(cudaSetDevice(7) == cudaErrorInvalidDevice);
  CHECK(cudaPeekAtLastError() == cudaErrorInvalidDevice);
  CHECK(cudaGetLastError() == cudaErrorInvalidDevice);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(std::string(cudaGetErrorName(cudaErrorMemoryAllocation)) == "cudaErrorMemoryAllocation");
}

TEST_CASE("errors: why there is no GPU") {
  int count = 1;
  sim::Machine none = machine(0);
  {
    const FreshMachine fresh(none);
    CHECK(cudaGetDeviceCount(&count) == cudaErrorNoDevice);
    CHECK(count == 0);
  }
  none = machine(1);
  none.driver_version = 0;
  const FreshMachine fresh(none);
  CHECK(cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver);
  int version = -1;
  CHECK(cudaDriverGetVersion(&version) == cudaSuccess);
  CHECK(version == 0);
}

TEST_CASE("errors: a launch that CUDA would refuse") {
  const FreshMachine fresh(machine(1));
  const DeviceBuffer<int> data(std::size_t{1});
  CHECK_THROWS_WITH(scan(data.data(), data.data(), 2048),
                    doctest::Contains("scan_kernel failed on device 0: cudaErrorInvalidConfiguration"));
  CHECK(cudaGetLastError() == cudaSuccess);
}

TEST_CASE("peers: access exists per ordered pair and has to be enabled") {
  sim::Machine ring = machine(4);
  ring.peers = sim::Peers::ring;
  const FreshMachine fresh(ring);
  int can = -1;
  CHECK(cudaDeviceCanAccessPeer(&can, 0, 1) == cudaSuccess);
  CHECK(can == 1);
  CHECK(cudaDeviceCanAccessPeer(&can, 0, 2) == cudaSuccess);
  CHECK(can == 0);
  CHECK(cudaDeviceEnablePeerAccess(2, 0) == cudaErrorPeerAccessUnsupported);
  CHECK(cudaDeviceEnablePeerAccess(1, 0) == cudaSuccess);
  CHECK(cudaDeviceEnablePeerAccess(1, 0) == cudaErrorPeerAccessAlreadyEnabled);
  CHECK(cudaGetLastError() == cudaErrorPeerAccessAlreadyEnabled);
  const DeviceBuffer<float> here(std::vector<float>(100, 1.0f));
  REQUIRE(cudaSetDevice(1) == cudaSuccess);
  const DeviceBuffer<float> there(std::vector<float>(100, 2.0f));
  REQUIRE(cudaSetDevice(0) == cudaSuccess);
  saxpy(1, there.data(), here.data(), 100);
  CHECK(here.download() == std::vector<float>(100, 3.0f));
}

TEST_CASE("devices: properties and attributes agree") {
  sim::Machine one = machine(1);
  one.gpus[0].compute_capability = 86;
  one.gpus[0].memory = std::size_t{8} << 30;
  const FreshMachine fresh(one);
  cudaDeviceProp properties{};
  REQUIRE(cudaGetDeviceProperties(&properties, 0) == cudaSuccess);
  CHECK(properties.major == 8);
  CHECK(properties.minor == 6);
  CHECK(properties.totalGlobalMem == std::size_t{8} << 30);
  int shared = 0;
  REQUIRE(cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0) == cudaSuccess);
  CHECK(shared == static_cast<int>(properties.sharedMemPerBlockOptin));
  std::size_t available = 0, total = 0;
  REQUIRE(cudaMemGetInfo(&available, &total) == cudaSuccess);
  CHECK(available == total);
}

TEST_CASE("devices: CUDA_VISIBLE_DEVICES lists those that are seen, up to the first entry that is invalid") {
  const auto seen = [](const char* list) {
    setenv("CUDA_VISIBLE_DEVICES", list, 1);
    setenv("MINIPARALLEL_SIMULATED_GPUS", "4", 1);
    const FreshMachine fresh(sim::machine_from_environment());
    unsetenv("CUDA_VISIBLE_DEVICES");
    unsetenv("MINIPARALLEL_SIMULATED_GPUS");
    int count = -1;
    const cudaError_t error = cudaGetDeviceCount(&count);
    CHECK(error == (count == 0 ? cudaErrorNoDevice : cudaSuccess));
    return count;
  };
  CHECK(seen("0,1,2,3") == 4);
  CHECK(seen("2,0") == 2);
  CHECK(seen("3") == 1);
  CHECK(seen("1,4,0") == 1);
  CHECK(seen("0,-1,1") == 1);
  CHECK(seen("0,1,x,2") == 2);
  CHECK(seen("-1") == 0);
  CHECK(seen("4") == 0);
  CHECK(seen("NoDevFiles") == 0);
  CHECK(seen("") == 0);
}

TEST_CASE("devices: a reset frees the device's memory") {
  const FreshMachine fresh(machine(2));
  const DeviceBuffer<float> stays(10);
  REQUIRE(cudaSetDevice(1) == cudaSuccess);
  void* memory = nullptr;
  REQUIRE(cudaMalloc(&memory, 100) == cudaSuccess);
  REQUIRE(cudaMemsetAsync(memory, 0, 100, nullptr) == cudaSuccess);
  CHECK(cudaDeviceReset() == cudaSuccess);
  CHECK(sim::counters(1).bytes_in_use == 0);
  CHECK(sim::counters(0).bytes_in_use == 40);
}

TEST_CASE("streams: a machine is replaced while its streams work") {
  for (int i = 0; i < 200; ++i) {
    const FreshMachine fresh(machine(1, 0, sim::Order::forward, sim::Streams::threaded));
    float* memory = nullptr;
    REQUIRE(cudaMalloc(reinterpret_cast<void**>(&memory), 4000) == cudaSuccess);
    for (int k = 0; k < 20; ++k) fill(memory, 1, 1000);
  }
}

TEST_CASE("streams: the history tells what was enqueued and the longest chain before it") {
  in_every_mode(1, [] {
    const DeviceBuffer<float> x(std::vector<float>(100, 0.0f)), y(std::vector<float>(100, 1.0f));
    const StreamHandle first, second;
    const EventHandle ready;
    fill(x.data(), 2, 100, first.stream);
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
    sim::start_history();
    fill(x.data(), 2, 100, first.stream);
    REQUIRE(cudaEventRecord(ready.event, first.stream) == cudaSuccess);
    fill(x.data(), 3, 100, first.stream);
    fill(y.data(), 1, 100, second.stream);  // waits for nothing
    REQUIRE(cudaStreamWaitEvent(second.stream, ready.event, 0) == cudaSuccess);
    fill(y.data(), 2, 100, second.stream);
    const std::vector<sim::Step> steps = sim::take_history();
    REQUIRE(steps.size() == 4);
    std::vector<std::int64_t> depths;
    for (const sim::Step& step : steps) depths.push_back(step.depth);
    CHECK(depths == std::vector<std::int64_t>{1, 2, 1, 2});
    CHECK(steps[0].kind == sim::StepKind::kernel);
    CHECK(steps[0].name.find("fill") != std::string::npos);
    CHECK(steps[0].stream == steps[1].stream);
    CHECK(steps[0].stream != steps[2].stream);
    REQUIRE(cudaStreamSynchronize(second.stream) == cudaSuccess);  // the host has waited
    fill(x.data(), 4, 100, first.stream);
    CHECK(sim::take_history()[0].depth == 3);
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  });
}
