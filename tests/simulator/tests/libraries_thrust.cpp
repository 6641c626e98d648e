// Thrust's sort on the simulated GPU: NVIDIA's policies and allocators, the simulator's algorithm.
#include "libraries_device.h"

#include <doctest/doctest.h>
#include <thrust/functional.h>
#include <thrust/sort.h>
#include <thrust/system/cuda/execution_policy.h>
#include <thrust/system_error.h>

#include <cstdint>
#include <vector>

using namespace miniparallel::simulator;
using namespace miniparallel::simulator::testing;

namespace {

using Key = std::uint64_t;

/// Lends one piece of device memory.
struct Lender {
  using value_type = char;
  DeviceBuffer<char> memory{std::size_t{1} << 20};
  std::size_t asked = 0;

  char* allocate(std::ptrdiff_t bytes) {
    asked = static_cast<std::size_t>(bytes);
    return memory.data();
  }
  void deallocate(char*, std::size_t) {}
};

void sort_on(cudaStream_t stream, Lender& lender, Key* keys, std::ptrdiff_t count) {
  thrust::sort(thrust::cuda::par_nosync(lender).on(stream), keys, keys + count);
}

}  // namespace

TEST_CASE("libraries: Thrust sorts in the order of its stream, and the host does not wait") {
  for (const Streams streams : {Streams::lazy, Streams::threaded}) {
    const TestMachine machine(1, streams);
    const StreamHandle stream;
    Lender lender;
    const std::vector<Key> keys{7, ~Key{0}, 0, 7, 3};
    const DeviceBuffer<Key> sorted(keys.size());
    const DeviceBuffer<Key> source(keys);
    const Counters before = counters();
    REQUIRE(cudaMemcpyAsync(sorted.data(), source.data(), keys.size() * sizeof(Key), cudaMemcpyDeviceToDevice,
                            stream.stream) == cudaSuccess);
    sort_on(stream.stream, lender, sorted.data(), std::ssize(keys));
    sort_on(stream.stream, lender, sorted.data(), 0);
    const Counters work = counters() - before;
    CHECK(work.library_calls == 1);
    CHECK(work.kernels == 0);
    CHECK(work.allocations == 0);
    CHECK(work.host_synchronizations == 0);
    CHECK(lender.asked >= keys.size() * sizeof(Key));
    REQUIRE(cudaStreamSynchronize(stream.stream) == cudaSuccess);
    CHECK(sorted.download() == std::vector<Key>{0, 3, 7, 7, ~Key{0}});

    thrust::sort(thrust::cuda::par(lender).on(stream.stream), sorted.data(), sorted.data() + keys.size(),
                 thrust::greater<Key>());  // waits
    CHECK(sorted.download() == std::vector<Key>{~Key{0}, 7, 7, 3, 0});
  }
}

TEST_CASE("libraries: the checker sees what Thrust's sort touches") {
  const TestMachine machine(1);
  const StreamHandle stream, other;
  Lender lender;
  SUBCASE("keys that nobody has written") {
    const DeviceBuffer<Key> keys(4);
    sort_on(stream.stream, lender, keys.data(), 4);
    CHECK(cudaStreamSynchronize(stream.stream) != cudaSuccess);
    CHECK(contains(only_report(Finding::unwritten_read), "thrust::sort"));
  }
  SUBCASE("keys past the end") {
    const DeviceBuffer<Key> keys(std::vector<Key>{2, 1});
    sort_on(stream.stream, lender, keys.data(), 3);
    CHECK(cudaStreamSynchronize(stream.stream) != cudaSuccess);
    CHECK(contains(only_report(Finding::out_of_bounds), "thrust::sort"));
  }
  SUBCASE("two streams that use the same scratch memory") {
    const DeviceBuffer<Key> keys(std::vector<Key>{2, 1}), more(std::vector<Key>{4, 3});
    sort_on(stream.stream, lender, keys.data(), 2);
    sort_on(other.stream, lender, more.data(), 2);
    CHECK(cudaDeviceSynchronize() != cudaSuccess);
    CHECK(contains(only_report(Finding::stream_race), "thrust::sort"));
  }
}

TEST_CASE("libraries: Thrust reports a call that fails") {
  const TestMachine machine(2);
  const StreamHandle stream;
  Lender lender;
  const DeviceBuffer<Key> keys(std::vector<Key>{2, 1});
  SUBCASE("a fault on demand") {
    fail_library_call("thrust::sort", 1);
    CHECK_THROWS_AS(sort_on(stream.stream, lender, keys.data(), 2), thrust::system_error);
    CHECK(keys.download() == std::vector<Key>{2, 1});
  }
  SUBCASE("a stream of another device") {
    REQUIRE(cudaSetDevice(1) == cudaSuccess);
    CHECK_THROWS_AS(sort_on(stream.stream, lender, keys.data(), 2), thrust::system_error);
    CHECK(contains(only_report(Finding::wrong_stream), "thrust::sort"));
    REQUIRE(cudaSetDevice(0) == cudaSuccess);
  }
}
