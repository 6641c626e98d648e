// Faults on demand, told apart as CUDA does, and counters that are exact.

#include "kernels/correct.h"
#include "modes.h"

#include <chrono>

using namespace simulator_tests;

TEST_CASE("faults: out of memory is recoverable") {
  sim::Machine small = machine(2);
  for (auto& gpu : small.gpus) gpu.memory = 1000;
  const FreshMachine fresh(small);
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, 2000) == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  sim::fail_allocation(0, 2);
  const DeviceBuffer<float> first(10);
  CHECK(cudaMalloc(&memory, 4) == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  const DeviceBuffer<float> third(10);
  CHECK(sim::counters(0).bytes_in_use == 80);
}

TEST_CASE("faults: freed neighbours serve a larger allocation when all addresses were used") {
  if (is_checked()) return;  // addresses are never used again
  sim::Machine large = machine(1);
  const std::size_t part = std::size_t{30}
                           << 30;  // of the 128 GiB that a device has addresses for; nothing is touched
  large.gpus[0].memory = 3 * part;
  const FreshMachine fresh(large);
  for (int round = 0; round < 2; ++round) {
    void *first = nullptr, *second = nullptr;
    REQUIRE(cudaMalloc(&first, part) == cudaSuccess);
    REQUIRE(cudaMalloc(&second, part) == cudaSuccess);
    REQUIRE(cudaFree(first) == cudaSuccess);
    REQUIRE(cudaFree(second) == cudaSuccess);
  }
  void* whole = nullptr;
  REQUIRE(cudaMalloc(&whole, 2 * part) == cudaSuccess);
  CHECK(cudaFree(whole) == cudaSuccess);
}

TEST_CASE("faults: pinned memory has its own capacity, and registered memory counts") {
  sim::Machine small = machine(2);
  small.pinned_memory = 1000;
  const FreshMachine fresh(small);
  void *first = nullptr, *second = nullptr;
  REQUIRE(cudaMallocHost(&first, 600) == cudaSuccess);
  CHECK(cudaHostAlloc(&second, 500, cudaHostAllocPortable) == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  const DeviceBuffer<float> on_device(1000);
  std::vector<char> pageable(400);
  CHECK(cudaHostRegister(pageable.data(), 401, 0) == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  REQUIRE(cudaHostRegister(pageable.data(), 400, 0) == cudaSuccess);
  CHECK(sim::pinned_bytes_in_use() == 1000);
  CHECK(cudaMallocHost(&second, 1) == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  REQUIRE(cudaHostUnregister(pageable.data()) == cudaSuccess);
  REQUIRE(cudaFreeHost(first) == cudaSuccess);
  CHECK(sim::pinned_bytes_in_use() == 0);
  REQUIRE(cudaMallocHost(&second, 1000) == cudaSuccess);
  REQUIRE(cudaFreeHost(second) == cudaSuccess);
}

TEST_CASE("faults: those to come can be forgotten") {
  const FreshMachine fresh(machine(2));
  sim::fail_call("cudaSet", 2, cudaErrorUnknown);
  sim::fail_allocation(1, 1);
  CHECK(sim::forget_faults() == 2);
  CHECK(sim::forget_faults() == 0);
  for (int i = 0; i < 3; ++i) CHECK(cudaSetDevice(1) == cudaSuccess);
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, 100) == cudaSuccess);
  CHECK(cudaFree(memory) == cudaSuccess);
}

TEST_CASE("faults: the n-th call of a function fails once, and has done nothing") {
  const FreshMachine fresh(machine(2));
  sim::fail_call("cudaSet", 1, cudaErrorUnknown);
  CHECK(sim::faults_to_come() == 1);
  CHECK(cudaSetDevice(1) == cudaErrorUnknown);
  CHECK(sim::faults_to_come() == 0);
  CHECK(cudaGetLastError() == cudaErrorUnknown);
  int device = -1;
  CHECK(cudaGetDevice(&device) == cudaSuccess);
  CHECK(device == 0);
  CHECK(cudaSetDevice(1) == cudaSuccess);
  CHECK(cudaSetDevice(0) == cudaSuccess);

  const DeviceBuffer<float> x(std::vector<float>(100, 0.0f));
  sim::fail_call("a kernel launch", 2, cudaErrorInvalidConfiguration);
  fill(x.data(), 1, 100);
  CHECK_THROWS(fill(x.data(), 2, 100));
  CHECK(x.download() == std::vector<float>(100, 1.0f));
}

TEST_CASE("faults: the n-th pinned allocation fails once") {
  const FreshMachine fresh(machine(1));
  sim::fail_call("cudaMallocHost", 2);
  void *first = nullptr, *second = nullptr;
  REQUIRE(cudaMallocHost(&first, 8) == cudaSuccess);
  const DeviceBuffer<float> on_device(10);  // is not counted
  CHECK(cudaMallocHost(&second, 8) == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  REQUIRE(cudaMallocHost(&second, 8) == cudaSuccess);
  CHECK(cudaFreeHost(first) == cudaSuccess);
  CHECK(cudaFreeHost(second) == cudaSuccess);
}

TEST_CASE("faults: a kernel's error is sticky and nothing hangs") {
  in_every_mode(1, [] {
    const DeviceBuffer<float> x(std::vector<float>(100, 0.0f));
    sim::fail_kernel(0, 2);
    fill(x.data(), 1, 100);
    CHECK(cudaDeviceSynchronize() == cudaSuccess);
    fill(x.data(), 2, 100);
    CHECK(cudaDeviceSynchronize() == cudaErrorLaunchFailure);
    CHECK(cudaGetLastError() == cudaErrorLaunchFailure);
    CHECK(cudaGetLastError() == cudaErrorLaunchFailure);
    void* memory = nullptr;
    CHECK(cudaMalloc(&memory, 4) == cudaErrorLaunchFailure);
  });
}

TEST_CASE("faults: a lost device fails, the others go on") {
  in_every_mode(2, [] {
    const DeviceBuffer<float> x(std::vector<float>(100, 0.0f));
    sim::lose_device(1);
    fill(x.data(), 1, 100);
    CHECK(cudaDeviceSynchronize() == cudaSuccess);
    REQUIRE(cudaSetDevice(1) == cudaSuccess);
    void* memory = nullptr;
    CHECK(cudaMalloc(&memory, 4) == cudaErrorDevicesUnavailable);
    REQUIRE(cudaSetDevice(0) == cudaSuccess);
    CHECK(cudaGetLastError() == cudaErrorDevicesUnavailable);
  });
}

TEST_CASE("faults: a corrupt link damages peer copies one way") {
  const FreshMachine fresh(machine(2));
  sim::corrupt_link(0, 1);
  const std::vector<int> values{1, 2, 3, 4};
  const DeviceBuffer<int> here(values);
  REQUIRE(cudaSetDevice(1) == cudaSuccess);
  const DeviceBuffer<int> there(values.size());
  REQUIRE(cudaMemcpyPeer(there.data(), 1, here.data(), 0, 16) == cudaSuccess);
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  CHECK(there.download() != values);
}

TEST_CASE("faults: a corrupt link damages copies, what kernels read, or both") {
  using sim::Traffic;
  for (const Traffic traffic : {Traffic::all, Traffic::copies, Traffic::kernel_reads})
    in_every_mode(2, [traffic] {
      sim::corrupt_link(1, 0, traffic);
      const std::vector<float> values{1, 2, 3, 4};
      REQUIRE(cudaSetDevice(1) == cudaSuccess);
      const DeviceBuffer<float> there(values);
      REQUIRE(cudaDeviceEnablePeerAccess(0, 0) == cudaSuccess);
      REQUIRE(cudaSetDevice(0) == cudaSuccess);
      REQUIRE(cudaDeviceEnablePeerAccess(1, 0) == cudaSuccess);
      const DeviceBuffer<float> read(std::vector<float>(4, 0)), copied(4), here(values);
      saxpy(1, there.data(), read.data(), 4);
      REQUIRE(cudaMemcpyPeer(copied.data(), 0, there.data(), 1, 16) == cudaSuccess);
      CHECK((read.download() == values) == (traffic == Traffic::copies));
      CHECK((copied.download() == values) == (traffic == Traffic::kernel_reads));
      REQUIRE(cudaSetDevice(1) == cudaSuccess);
      CHECK(there.download() == values);
      const DeviceBuffer<float> back(std::vector<float>(4, 0));
      saxpy(1, here.data(), back.data(), 4);  // the other way
      CHECK(back.download() == values);
      REQUIRE(cudaSetDevice(0) == cudaSuccess);
      fill(there.data(), 7, 4);  // written by device 0, whose reads are damaged
      REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
      CHECK(there.download() == std::vector<float>(4, 7));
      REQUIRE(cudaSetDevice(0) == cudaSuccess);
    });
}

TEST_CASE("faults: over a link that carries nothing a copy never ends, in the other direction it does") {
  in_every_mode(2, [] {
    sim::slow_link(0, 1, 0);
    void *here = nullptr, *there = nullptr;  // the copy keeps them
    REQUIRE(cudaMalloc(&here, 16) == cudaSuccess);
    REQUIRE(cudaMemset(here, 1, 16) == cudaSuccess);
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
    REQUIRE(cudaSetDevice(1) == cudaSuccess);
    REQUIRE(cudaMalloc(&there, 16) == cudaSuccess);
    REQUIRE(cudaMemset(there, 2, 16) == cudaSuccess);
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
    cudaStream_t stream = nullptr;
    REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
    REQUIRE(cudaMemcpyPeerAsync(here, 0, there, 1, 16, stream) == cudaSuccess);
    CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
    REQUIRE(cudaMemcpyPeerAsync(there, 1, here, 0, 16, stream) == cudaSuccess);
    for (int i = 0; i < 100; ++i) CHECK(cudaStreamQuery(stream) == cudaErrorNotReady);
    static_cast<void>(cudaGetLastError());
    CHECK(cudaStreamDestroy(stream) == cudaSuccess);
  });
}

TEST_CASE("faults: a slow device gives the same results") {
  in_every_mode(2, [] {
    sim::slow_down(1, 3);
    REQUIRE(cudaSetDevice(1) == cudaSuccess);
    const DeviceBuffer<float> x(std::vector<float>(100, 0.0f));
    fill(x.data(), 1, 100);
    CHECK(x.download() == std::vector<float>(100, 1.0f));
  });
}

TEST_CASE("faults: a slow link delays copies") {
  sim::Machine settings = machine(2);
  settings.streams = sim::Streams::threaded;
  const FreshMachine fresh(settings);
  sim::slow_link(0, 1, 1e4);
  const std::vector<int> values(100, 7);
  const DeviceBuffer<int> here(values);
  REQUIRE(cudaSetDevice(1) == cudaSuccess);
  const DeviceBuffer<int> there(values.size());
  const auto copy = [](const DeviceBuffer<int>& to, int to_device, const DeviceBuffer<int>& from,
                       int from_device) {
    const auto begin = std::chrono::steady_clock::now();
    REQUIRE(cudaMemcpyPeer(to.data(), to_device, from.data(), from_device, 400) == cudaSuccess);
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  CHECK(copy(there, 1, here, 0) >= 0.04);
  CHECK(there.download() == values);
}

TEST_CASE("counters: exact, and equal in every mode") {
  in_every_mode(2, [] {
    const sim::Counters before = sim::counters();
    {
      const DeviceBuffer<float> x(std::vector<float>(100, 0.0f)), y(100);
      fill(x.data(), 1, 100);
      REQUIRE(cudaMemcpyAsync(y.data(), x.data(), 400, cudaMemcpyDeviceToDevice, nullptr) == cudaSuccess);
      REQUIRE(cudaMemsetAsync(x.data(), 0, 40, nullptr) == cudaSuccess);
      static_cast<void>(y.download());
      REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
    }
    const sim::Counters step = sim::counters() - before;
    CHECK(step.kernels == 1);
    CHECK(step.copies == 3);
    CHECK(step.bytes_to_device == 400);
    CHECK(step.bytes_on_device == 400);
    CHECK(step.bytes_to_host == 400);
    CHECK(step.bytes_set == 40);
    CHECK(step.allocations == 2);
    CHECK(step.frees == 2);
    CHECK(step.bytes_allocated == 800);
    CHECK(step.bytes_in_use == 0);
    CHECK(step.peak_bytes == 800);
    CHECK(step.host_synchronizations == 3);
    CHECK(step.device_synchronizations == 1);
    CHECK(sim::counters(1).kernels == 0);
  });
}
