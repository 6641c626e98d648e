// Times of the virtual clock, against what is added up by hand.

#include <miniparallel/error.h>
#include <miniparallel/simulator_clock.h>
#include <miniparallel/simulator_history.h>

#include "../../support/temporary_folder.h"
#include "capture_support.h"
#include "kernels/correct.h"

#include <thread>

using namespace simulator_tests;
using doctest::Approx;

namespace {

// Seconds and bytes of a slow machine, so that sums are exact.
constexpr sim::Speeds slow{.memory = 100,
                           .float32 = 10,
                           .tf32 = 20,
                           .half = 40,
                           .float64 = 5,
                           .link = 50,
                           .bus = 20,
                           .launch = 1,
                           .node = 0.5,
                           .link_latency = 0.5,
                           .bus_latency = 0.25,
                           .call = 0.125,
                           .event = 0.0625,
                           .hand_over = 2};

std::optional<sim::Cost> next_cost;

/// Kernels cost what `next_cost` says, if it says something.
class WithCosts {
 public:
  WithCosts() {
    next_cost.reset();
    previous_ = sim::set_cost_source([] { return next_cost; });
  }
  ~WithCosts() { sim::set_cost_source(previous_); }
  WithCosts(const WithCosts&) = delete;
  WithCosts& operator=(const WithCosts&) = delete;

 private:
  sim::CostSource previous_;
};

/// Two streams and some memory of each device of a machine with a clock. Streams are not ordered, so each
/// touches memory of its own.
struct Bench {
  explicit Bench(int gpus, const sim::Speeds& speeds = slow, const sim::ClockOptions& options = {})
      : fresh(machine(gpus)) {
    for (int i = 0; i < gpus; ++i) {
      cudaSetDevice(i);
      first.push_back(std::make_unique<StreamHandle>());
      second.push_back(std::make_unique<StreamHandle>());
      memory.emplace_back(std::vector<float>(256, 0.0f));
      received.emplace_back(std::vector<float>(256, 0.0f));
      cudaDeviceSynchronize();
    }
    cudaSetDevice(0);
    sim::start_clock(speeds, options);
  }
  ~Bench() {
    for (std::size_t i = 0; i < first.size(); ++i) {
      cudaSetDevice(static_cast<int>(i));
      cudaDeviceSynchronize();
      first[i].reset();
      second[i].reset();
    }
    cudaSetDevice(0);
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  cudaStream_t a(std::size_t gpu = 0) const { return first[gpu]->stream; }
  cudaStream_t b(std::size_t gpu = 0) const { return second[gpu]->stream; }
  /// A kernel on the current device, which is `gpu`, of 1 s + `bytes` / 100 s.
  void kernel(double bytes, cudaStream_t stream, std::size_t gpu = 0) const {
    next_cost = sim::Cost{.bytes = bytes, .arrays = 1};
    fill(memory[gpu].data() + (stream == a(gpu) ? 128 : 192), 1, 1, stream);
    next_cost.reset();
  }
  void copy(std::size_t from, std::size_t to, std::size_t bytes, cudaStream_t stream) const {
    REQUIRE(cudaMemcpyPeerAsync(received[to].data(), static_cast<int>(to), memory[from].data(),
                                static_cast<int>(from), bytes, stream) == cudaSuccess);
  }
  /// When the stream has finished, by this thread's time.
  static double finished(cudaStream_t stream) {
    REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
    return sim::host_time();
  }

  const FreshMachine fresh;
  const WithCosts costs;
  std::vector<std::unique_ptr<StreamHandle>> first, second;
  std::vector<DeviceBuffer<float>> memory, received;
};

struct Event {
  explicit Event(unsigned flags = cudaEventDisableTiming) {
    REQUIRE(cudaEventCreateWithFlags(&event, flags) == cudaSuccess);
  }
  ~Event() { cudaEventDestroy(event); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  cudaEvent_t event = nullptr;
};

}  // namespace

TEST_CASE("clock: a kernel takes its launch and the longer one of memory and arithmetic") {
  const Bench bench(1);
  CHECK(sim::host_time() == 0);
  bench.kernel(200, bench.a());
  CHECK(sim::host_time() == 0.125);  // enqueued, not waited for
  CHECK(bench.finished(bench.a()) == 0.125 + 1 + 200 / 100.0);

  const double before = sim::host_time();
  next_cost = sim::Cost{.bytes = 200, .arrays = 1, .operations = 50};
  fill(bench.memory[0].data(), 1, 1, bench.a());
  next_cost->unit = sim::Unit::half;
  fill(bench.memory[0].data(), 1, 1, bench.a());
  CHECK(bench.finished(bench.a()) - before == 0.125 + 1 + 50 / 10.0 + 1 + 200 / 100.0);
}

TEST_CASE("clock: arrays are counted by pointers, and of an unknown kernel by threads") {
  const Bench bench(1);
  next_cost = sim::Cost{.bytes = 100};
  saxpy(2, bench.memory[0].data(), bench.memory[0].data() + 128, 1, bench.a());
  CHECK(bench.finished(bench.a()) == 0.125 + 1 + 2 * 100 / 100.0);
  next_cost.reset();
  const double before = sim::host_time();
  fill(bench.memory[0].data(), 1, 100, bench.a());
  CHECK(bench.finished(bench.a()) - before == Approx(0.125 + 1 + 128 * 16 / 100.0));
}

TEST_CASE("clock: a chain runs without gaps, or as fast as the host enqueues") {
  const Bench bench(1);
  for (int i = 0; i < 3; ++i) bench.kernel(200, bench.a());
  CHECK(sim::host_time() == 3 * 0.125);
  CHECK(bench.finished(bench.a()) == 0.125 + 3 * 3);

  const double before = sim::host_time();
  sim::Speeds slow_host = slow;
  slow_host.call = 4;
  sim::start_clock(slow_host);
  CHECK(before > 0);
  for (int i = 0; i < 3; ++i) bench.kernel(200, bench.a());
  CHECK(bench.finished(bench.a()) == 3 * 4 + 3);
}

TEST_CASE("clock: an event carries time from one stream to another and to the host") {
  const Bench bench(1);
  const Event done;
  bench.kernel(200, bench.a());  // ends at 3.125
  REQUIRE(cudaEventRecord(done.event, bench.a()) == cudaSuccess);
  REQUIRE(cudaStreamWaitEvent(bench.b(), done.event, 0) == cudaSuccess);
  bench.kernel(400, bench.b());
  bench.kernel(100, bench.a());
  REQUIRE(cudaEventSynchronize(done.event) == cudaSuccess);
  CHECK(sim::host_time() == 3.125);
  CHECK(bench.finished(bench.a()) == 3.125 + 2);
  CHECK(bench.finished(bench.b()) == 3.125 + 5);
}

TEST_CASE("clock: streams without an event between them overlap") {
  const Bench bench(2);
  bench.copy(0, 1, 400, bench.b());  // 1 + 400 / 50 + 0.5
  bench.kernel(700, bench.a());      // 1 + 700 / 100
  CHECK(bench.finished(bench.a()) == 2 * 0.125 + 8);
  CHECK(bench.finished(bench.b()) == 0.125 + 9.5);
}

TEST_CASE("clock: copies cross links, which carry one at a time each way") {
  const Bench bench(3);
  bench.copy(0, 1, 100, bench.a());
  CHECK(bench.finished(bench.a()) == 0.125 + 1 + 100 / 50.0 + 0.5);

  const double before = sim::host_time();
  bench.copy(0, 1, 100, bench.a());
  bench.copy(0, 2, 100, bench.b());   // waits for the way out of 0
  bench.copy(1, 0, 100, bench.a(1));  // the way in is free
  CHECK(bench.finished(bench.a()) - before == 0.125 + 1 + 2 + 0.5);
  CHECK(bench.finished(bench.a(1)) - before == 3 * 0.125 + 1 + 2 + 0.5);
  CHECK(bench.finished(bench.b()) - before == 0.125 + 1 + 2 + 2 + 0.5);
}

TEST_CASE("clock: without links, and to and from the host, copies cross the buses") {
  sim::Speeds no_link = slow;
  no_link.link = 0;
  const Bench bench(2, no_link);
  bench.copy(0, 1, 100, bench.a());
  CHECK(bench.finished(bench.a()) == 0.125 + 1 + 100 / 20.0 + 0.25);
  const double before = sim::host_time();
  CHECK(bench.memory[0].download().size() == 256);
  CHECK(sim::host_time() - before == Approx(0.125 + 1 + 1024 / 20.0 + 0.25));
}

TEST_CASE("clock: a kernel that reads a peer does so over the link") {
  const Bench bench(2);
  REQUIRE(cudaDeviceEnablePeerAccess(1, 0) == cudaSuccess);
  next_cost = sim::Cost{.bytes = 100};
  saxpy(2, bench.memory[1].data(), bench.memory[0].data(), 1, bench.a());
  CHECK(bench.finished(bench.a()) == 0.125 + 1 + 100 / 50.0 + 0.5);
}

TEST_CASE("clock: CUDA's questions are answered by it") {
  const Bench bench(1);
  const Event begin(cudaEventDefault), end(cudaEventDefault);
  REQUIRE(cudaEventRecord(begin.event, bench.a()) == cudaSuccess);
  bench.kernel(200, bench.a());
  REQUIRE(cudaEventRecord(end.event, bench.a()) == cudaSuccess);
  const double start = sim::host_time();
  int questions = 1;
  while (cudaEventQuery(end.event) == cudaErrorNotReady) ++questions;
  CHECK(sim::host_time() == Approx(start + questions * 0.0625));
  CHECK(sim::host_time() >= 0.0625 + 0.125 + 3);
  float milliseconds = 0;
  REQUIRE(cudaEventElapsedTime(&milliseconds, begin.event, end.event) == cudaSuccess);
  CHECK(milliseconds == Approx(3125.0f));
}

TEST_CASE("clock: each host thread has a time, which follows that of the work it goes on with") {
  const Bench bench(1);
  bench.kernel(0, bench.a());
  bench.kernel(0, bench.a());
  double joined = 0, alone = 0;
  std::thread([&] {
    bench.kernel(0, bench.b());
    alone = sim::host_time();
    bench.kernel(0, bench.a());
    joined = sim::host_time();
  }).join();
  CHECK(alone == 0.125);
  CHECK(joined == 2 * 0.125 + 2 + 0.125);
  CHECK(sim::host_time() == 2 * 0.125);
}

TEST_CASE("clock: a graph costs the host one call, and each node less than a launch") {
  const Bench bench(1);
  const CapturedGraph chain(bench.a(), [&] {
    for (int i = 0; i < 3; ++i) bench.kernel(200, bench.a());
  });
  bench.kernel(100, bench.a());
  const double before = sim::host_time();
  chain.launch(bench.a());
  chain.launch(bench.a());
  CHECK(sim::host_time() - before == 2 * 0.125);
  CHECK(bench.finished(bench.a()) - before == (1 + 100 / 100.0) + 2 * 3 * (0.5 + 200 / 100.0));

  bench.kernel(0, bench.a());
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  sim::start_clock(slow);
  chain.launch(bench.a());
  CHECK(bench.finished(bench.a()) == 0.125 + 3 * (0.5 + 200 / 100.0));
}

TEST_CASE("clock: branches of a graph overlap, on one device and on two") {
  const Bench bench(2);
  for (const bool far : {false, true}) {
    CAPTURE(far);
    const cudaStream_t branch = far ? bench.a(1) : bench.b();
    const CapturedGraph diamond(bench.a(), [&] {
      bench.kernel(100, bench.a());
      let_wait(branch, bench.a());
      bench.kernel(200, bench.a());
      {
        const OnDeviceOf device(branch);
        bench.kernel(400, branch, far ? 1 : 0);
        bench.kernel(50, branch, far ? 1 : 0);
      }
      let_wait(bench.a(), branch);
      bench.kernel(300, bench.a());
    });
    const double before = sim::host_time();
    diamond.launch(bench.a());
    CHECK(bench.finished(bench.a()) - before ==
          0.125 + (0.5 + 1) + ((0.5 + 4) + (0.5 + 0.5)) + (0.5 + 3));  // the longer branch
  }
}

TEST_CASE("clock: a slow device and a slow link take longer") {
  const Bench bench(2);
  sim::slow_down(0, 10);
  sim::slow_link(0, 1, 10);
  bench.kernel(200, bench.a());
  CHECK(bench.finished(bench.a()) == 0.125 + 1 + 10 * 2);
  const double before = sim::host_time();
  bench.copy(0, 1, 100, bench.a());
  CHECK(bench.finished(bench.a()) - before == Approx(0.125 + 1 + 10 + 0.5));
}

TEST_CASE("clock: without execution nothing is computed or moved, and memory is only reserved") {
  Bench bench(1, slow, {.execute = false});
  fill(bench.memory[0].data(), 7, 256, bench.a());
  if (!is_checked()) {
    char* large = nullptr;
    REQUIRE(cudaMalloc(reinterpret_cast<void**>(&large), std::size_t{12} << 30) == cudaSuccess);
    REQUIRE(cudaMemsetAsync(large, 1, std::size_t{12} << 30, bench.a()) == cudaSuccess);
    CHECK(bench.finished(bench.a()) > static_cast<double>(std::size_t{12} << 30) / 100);
    REQUIRE(cudaFree(large) == cudaSuccess);
  }
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  sim::start_clock(slow);
  CHECK(bench.memory[0].download() == std::vector<float>(256, 0.0f));
}

TEST_CASE("clock: measured times of kernels come from a file") {
  const miniparallel::testing::TemporaryFolder folder;
  miniparallel::testing::write_text(folder / "times", "2000000 fill_kernel\n500000 another<int>\n");
  {
    const Bench bench(1, slow, {.kernel_times = (folder / "times").string()});
    bench.kernel(900, bench.a());
    CHECK(bench.finished(bench.a()) == 0.125 + 1 + 2);
  }
  miniparallel::testing::write_text(folder / "times", "2000000 fill_kernel\nsaxpy 3\n");
  CHECK_THROWS_WITH(sim::start_clock(slow, {.kernel_times = (folder / "times").string()}),
                    doctest::Contains("a line other than 'microseconds name'; it follows that of 1 kernels"));
  CHECK_THROWS_WITH(sim::start_clock(slow, {.kernel_times = "/nowhere"}),
                    doctest::Contains("cannot be read"));
}

TEST_CASE("clock: presets by name") {
  CHECK(sim::preset("h100").machine.gpus.size() == 8);
  CHECK(sim::preset("rtx4090").machine.peers == sim::Peers::none);
  CHECK(sim::preset("t4").speeds.link == 0);
  CHECK(sim::preset("a100").speeds.memory == Approx(2.039e12));
  CHECK_THROWS_WITH_AS(static_cast<void>(sim::preset("v100")),
                       "preset: no machine is called 'v100'; name one of h100, a100, rtx4090, t4",
                       miniparallel::Error);
}

TEST_CASE("clock: the trace has the times of each operation") {
  const miniparallel::testing::TemporaryFolder folder;
  const Bench bench(2);
  sim::start_history();
  bench.kernel(200, bench.a());
  bench.copy(0, 1, 100, bench.a());
  const std::vector<sim::Step> steps = sim::take_history();
  REQUIRE(steps.size() == 2);
  CHECK(steps[0].start == 0.125);
  CHECK(steps[0].end == 3.125);
  CHECK(steps[1].start == 3.125);
  CHECK(steps[1].end == 3.125 + 3.5);
  sim::write_chrome_trace((folder / "trace.json").string(), steps);
  const std::string text = miniparallel::testing::read_text(folder / "trace.json");
  CHECK(contains(text, "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":0"));
  CHECK(contains(text, "\"cat\":\"kernel\",\"ts\":125000.000,\"dur\":3000000.000}"));
  CHECK(contains(text, "{\"name\":\"a copy of 100 bytes\",\"ph\":\"X\""));
  CHECK_THROWS_WITH_AS(sim::write_chrome_trace("/nowhere/trace.json", steps),
                       doctest::Contains("'/nowhere/trace.json' cannot be written"), miniparallel::Error);
}
