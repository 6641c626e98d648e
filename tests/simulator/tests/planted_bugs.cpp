// Each planted bug is reported, in every order and seed. Needs instrumented kernels.

#include "kernels/bugs.h"
#include "kernels/correct.h"
#include "modes.h"

using namespace simulator_tests;
using sim::Finding;

namespace {

/// Plants the bug on many machines; there must be a report of this kind that contains `part`.
template <typename Bug>
void is_reported(Finding finding, const std::string& part, Bug&& bug, int gpus = 1) {
  if (!is_checked()) return;
  for (const auto order : {sim::Order::forward, sim::Order::reverse, sim::Order::shuffled}) {
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
      CAPTURE(static_cast<int>(order));
      CAPTURE(seed);
      const FreshMachine fresh(machine(gpus, seed, order));
      bug();
      const auto reports = sim::take_reports();
      REQUIRE(!reports.empty());
      CHECK(reports[0].finding == finding);
      INFO(reports[0].text);
      CHECK(contains(reports[0].text, part));
    }
  }
}

/// A kernel on `count` written floats.
template <typename Kernel>
void kernel_is_reported(Finding finding, const std::string& part, std::size_t count, Kernel&& kernel) {
  is_reported(finding, part, [&] {
    const DeviceBuffer<float> data(std::vector<float>(count, 1.0f));
    kernel(data.data());
    CHECK(cudaDeviceSynchronize() != cudaSuccess);
  });
}

}  // namespace

TEST_CASE("planted bug: missing barrier, read after write") {
  kernel_is_reported(Finding::race, "missing_barrier_before_read_kernel, block (0,0,0), thread (", 64,
                     [](float* data) { bugs::missing_barrier_before_read(data); });
}

TEST_CASE("planted bug: missing barrier, write after read") {
  kernel_is_reported(Finding::race, "missing_barrier_before_write_kernel", 64,
                     [](float* data) { bugs::missing_barrier_before_write(data); });
}

TEST_CASE("planted bug: missing __syncwarp") {
  kernel_is_reported(Finding::race, "missing_syncwarp_kernel", 32,
                     [](float* data) { bugs::missing_syncwarp(data); });
}

TEST_CASE("planted bug: divergent barrier") {
  kernel_is_reported(Finding::barrier, "bugs.cu:", 64, [](float* data) { bugs::divergent_barrier(data); });
}

TEST_CASE("planted bug: shuffle from a lane that left") {
  kernel_is_reported(Finding::absent_lane, "lane 20", 32,
                     [](float* data) { bugs::shuffle_from_left_lane(data); });
}

TEST_CASE("planted bug: shuffle from a lane outside the mask") {
  kernel_is_reported(Finding::absent_lane, "not in the mask", 32,
                     [](float* data) { bugs::shuffle_from_unnamed_lane(data); });
}

TEST_CASE("planted bug: out of bounds by one in the middle of an arena") {
  is_reported(Finding::out_of_bounds, "0 bytes past the end of the 400-byte allocation 1 on device 0", [] {
    const DeviceBuffer<float> before(100), data(100), after(100);
    bugs::write_one_past(data.data(), 100);
    CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
  });
}

TEST_CASE("planted bug: past the end of a caching allocator's block") {
  is_reported(Finding::out_of_bounds, "past the end of the 400-byte block", [] {
    const DeviceBuffer<float> arena(1024);
    sim::block_handed_out(arena.data(), 400, nullptr);
    sim::block_handed_out(arena.data() + 128, 400, nullptr);
    bugs::write_one_past(arena.data(), 100);
    CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
  });
}

TEST_CASE("planted bug: use of a block after its return to a caching allocator") {
  is_reported(Finding::use_after_free, "which was freed", [] {
    const DeviceBuffer<float> arena(1024);
    sim::block_handed_out(arena.data(), 512, nullptr);
    sim::block_returned(arena.data(), nullptr);
    fill(arena.data(), 1, 100);
    CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
  });
}

TEST_CASE("planted bug: unwritten float") {
  is_reported(Finding::unwritten_read,
              "read_kernel<float>, block (0,0,0), thread (0,0,0) on device 0: read of 4 bytes", [] {
                const DeviceBuffer<float> in(1), out(1);
                bugs::read_float(in.data(), out.data());
                CHECK(cudaDeviceSynchronize() != cudaSuccess);
              });
}

TEST_CASE("planted bug: unwritten int32, carried along by a copy") {
  is_reported(Finding::unwritten_read, "read_kernel<int>", [] {
    const DeviceBuffer<int> from(std::size_t{4}), in(std::size_t{4}), out(std::size_t{1});
    REQUIRE(cudaMemcpy(in.data(), from.data(), 16, cudaMemcpyDeviceToDevice) == cudaSuccess);
    bugs::read_int(in.data(), out.data());
    CHECK(cudaDeviceSynchronize() != cudaSuccess);
  });
}

TEST_CASE("planted bug: unwritten memory copied to the host") {
  is_reported(Finding::unwritten_read, "a copy of 16 bytes", [] {
    const DeviceBuffer<int> from(std::size_t{4});
    int host[4];
    CHECK(cudaMemcpy(host, from.data(), 16, cudaMemcpyDeviceToHost) != cudaSuccess);
  });
}

TEST_CASE("planted bug: race between blocks") {
  kernel_is_reported(Finding::race, "of block ", 1, [](float* data) { bugs::race_between_blocks(data); });
}

TEST_CASE("planted bug: accumulation without atomics") {
  kernel_is_reported(Finding::race, "plain_accumulation_kernel", 1,
                     [](float* data) { bugs::plain_accumulation(data); });
}

TEST_CASE("planted bug: ticket without a fence") {
  is_reported(Finding::race, "missing_fence_kernel", [] {
    const DeviceBuffer<float> partial(4), out(1);
    const DeviceBuffer<unsigned> ticket(std::vector<unsigned>{0});
    bugs::missing_fence(partial.data(), ticket.data(), out.data());
    CHECK(cudaDeviceSynchronize() != cudaSuccess);
  });
}

TEST_CASE("planted bug: unwritten shared memory") {
  kernel_is_reported(Finding::unwritten_read, "of shared memory", 32,
                     [](float* data) { bugs::unwritten_shared(data); });
}

TEST_CASE("planted bug: past the end of a shared array") {
  kernel_is_reported(Finding::shared_memory, "past_shared_kernel", 32,
                     [](float* data) { bugs::past_shared(data); });
}

TEST_CASE("planted bug: missing event wait") {
  is_reported(Finding::stream_race, "an event or a synchronisation is missing", [] {
    const DeviceBuffer<float> x(std::vector<float>(100, 0.0f)), y(std::vector<float>(100, 0.0f));
    const StreamHandle first, second;
    fill(x.data(), 2, 100, first.stream);
    saxpy(1, x.data(), y.data(), 100, second.stream);
    CHECK((cudaStreamSynchronize(second.stream) != cudaSuccess ||
           cudaStreamSynchronize(first.stream) != cudaSuccess));
  });
}

TEST_CASE("planted bug: overwriting before the reader's event") {
  is_reported(Finding::stream_race, "is not ordered after", [] {
    const DeviceBuffer<float> x(std::vector<float>(100, 0.0f)), y(std::vector<float>(100, 0.0f));
    const StreamHandle first, second;
    saxpy(1, x.data(), y.data(), 100, first.stream);
    fill(x.data(), 2, 100, second.stream);
    CHECK((cudaStreamSynchronize(first.stream) != cudaSuccess ||
           cudaStreamSynchronize(second.stream) != cudaSuccess));
  });
}

TEST_CASE("planted bug: use after free") {
  is_reported(Finding::use_after_free, "which was freed", [] {
    float* data = nullptr;
    REQUIRE(cudaMalloc(reinterpret_cast<void**>(&data), 400) == cudaSuccess);
    REQUIRE(cudaFree(data) == cudaSuccess);
    const DeviceBuffer<float> reuse(100);
    CHECK(reuse.data() != data);
    fill(data, 1, 100);
    CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
  });
}

TEST_CASE("planted bug: free while a stream still reads") {
  if (!is_checked()) return;
  for (const auto streams : {sim::Streams::lazy, sim::Streams::threaded}) {
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
      const FreshMachine fresh(machine(1, seed, sim::Order::shuffled, streams));
      const DeviceBuffer<float> y(std::vector<float>(100, 0.0f));
      const StreamHandle stream;
      float* x = nullptr;
      REQUIRE(cudaMalloc(reinterpret_cast<void**>(&x), 400) == cudaSuccess);
      fill(x, 1, 100, stream.stream);
      saxpy(1, x, y.data(), 100, stream.stream);
      cudaFree(x);
      cudaStreamSynchronize(stream.stream);
      const auto reports = sim::take_reports();
      REQUIRE(!reports.empty());
      CHECK((reports[0].finding == Finding::use_after_free || reports[0].finding == Finding::free_in_use));
    }
  }
}

TEST_CASE("planted bug: another device's memory without peer access") {
  is_reported(
      Finding::peer_access, "to which device 1 has no peer access",
      [] {
        const DeviceBuffer<float> data(100);
        REQUIRE(cudaSetDevice(1) == cudaSuccess);
        fill(data.data(), 1, 100);
        CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
      },
      2);
}

TEST_CASE("planted bug: pageable host memory in a kernel") {
  kernel_is_reported(Finding::host_memory, "that is not pinned", 1, [](float* data) {
    const std::vector<float> host(1, 1.0f);
    bugs::read_float(host.data(), data);
    CHECK(cudaDeviceSynchronize() != cudaSuccess);
  });
}

TEST_CASE("planted bug: host access to device memory") {
  is_reported(Finding::host_access, "of the 400-byte allocation 0 on device 0", [] {
    const DeviceBuffer<float> data(std::vector<float>(100, 5.0f));
    const volatile float value = *static_cast<volatile float*>(data.data() + 3);
    CHECK(value == 5.0f);
  });
}

TEST_CASE("planted bug: stream of another device") {
  is_reported(
      Finding::wrong_stream, "fill_kernel is launched on a stream of device 0 while device 1 is current",
      [] {
        const DeviceBuffer<float> data(100);
        const StreamHandle stream;
        REQUIRE(cudaSetDevice(1) == cudaSuccess);
        CHECK_THROWS(fill(data.data(), 1, 100, stream.stream));
      },
      2);
}

TEST_CASE("planted bug: unchecked error") {
  is_reported(Finding::unchecked_error, "cudaMemcpy failed with cudaErrorInvalidValue", [] {
    const DeviceBuffer<float> data(100);
    int host = 0;
    static_cast<void>(cudaMemcpy(&host, &host, 4, cudaMemcpyHostToDevice));
    fill(data.data(), 1, 100);
    CHECK(cudaDeviceSynchronize() == cudaSuccess);
  });
}
