// Launches of graphs: what they run, in which order, with which faults and counts.

#include <miniparallel/simulator_graphs.h>

#include "capture_support.h"
#include "kernels/correct.h"

#include <deque>
#include <memory>
#include <mutex>
#include <set>

using namespace simulator_tests;
using sim::testing::CublasHandle;

namespace {

/// Host functions note their letters in the order in which they run.
struct Notes {
  void add(cudaStream_t stream, char letter) {
    notes.push_back({this, letter});
    REQUIRE(cudaLaunchHostFunc(
                stream,
                [](void* data) {
                  const Note& note = *static_cast<Note*>(data);
                  const std::lock_guard lock(note.notes->mutex);
                  note.notes->text += note.letter;
                },
                &notes.back()) == cudaSuccess);
  }

  struct Note {
    Notes* notes;
    char letter;
  };
  std::deque<Note> notes;
  std::mutex mutex;
  std::string text;
};

}  // namespace

TEST_CASE("graph: a launch sees the memory as it is then") {
  in_every_mode(1, [] {
    const StreamHandle stream;
    const DeviceBuffer<float> x(2), y(std::vector<float>(2, 0.0f));
    float* pinned = nullptr;
    REQUIRE(cudaMallocHost(reinterpret_cast<void**>(&pinned), 2 * sizeof(float)) == cudaSuccess);
    float pageable = 0, result[2] = {};
    const CapturedGraph graph(stream.stream, [&] {
      REQUIRE(cudaMemcpyAsync(x.data(), pinned, 4, cudaMemcpyDefault, stream.stream) == cudaSuccess);
      REQUIRE(cudaMemcpyAsync(x.data() + 1, &pageable, 4, cudaMemcpyDefault, stream.stream) == cudaSuccess);
      saxpy(2, x.data(), y.data(), 2, stream.stream);
      REQUIRE(cudaMemcpyAsync(result, y.data(), 8, cudaMemcpyDefault, stream.stream) == cudaSuccess);
    });
    for (const float value : {1.0f, 10.0f}) {
      pinned[0] = value;
      pageable = 2 * value;
      graph.launch(stream.stream);
      REQUIRE(cudaStreamSynchronize(stream.stream) == cudaSuccess);
    }
    CHECK(result[0] == 22);
    CHECK(result[1] == 44);
    CHECK(cudaFreeHost(pinned) == cudaSuccess);
  });
}

TEST_CASE("graph: products of cuBLAS are nodes") {
  in_every_mode(1, [] {
    const StreamHandle stream;
    const CublasHandle cublas;
    REQUIRE(cublasSetStream(cublas.handle, stream.stream) == CUBLAS_STATUS_SUCCESS);
    const DeviceBuffer<float> a(std::vector<float>{1, 2, 3, 4}), b(std::vector<float>(4, 0.0f)),
        c(std::vector<float>(4, 0.0f));
    const CapturedGraph graph(stream.stream, [&] {
      fill(b.data(), 1, 4, stream.stream);
      const float one = 1;
      REQUIRE(cublasSgemm(cublas.handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, a.data(), 2, b.data(), 2,
                          &one, c.data(), 2) == CUBLAS_STATUS_SUCCESS);
    });
    CHECK(graph.nodes() == 2);
    for (int i = 0; i < 3; ++i) graph.launch(stream.stream);
    REQUIRE(cudaStreamSynchronize(stream.stream) == cudaSuccess);
    CHECK(c.download() == std::vector<float>{12, 18, 12, 18});
  });
}

TEST_CASE("graph: comes after the stream's work and the launch before, and before the stream's later work") {
  in_every_mode(2, [] {
    const StreamHandle first, second;
    Notes notes;
    const CapturedGraph graph(first.stream, [&] { notes.add(first.stream, 'g'); });
    notes.add(first.stream, 'a');
    graph.launch(first.stream);
    graph.launch(second.stream);
    notes.add(second.stream, 'b');
    REQUIRE(cudaStreamSynchronize(second.stream) == cudaSuccess);
    CHECK(notes.text == "aggb");
  });
}

TEST_CASE("graph: only its own order holds, over all its streams and devices") {
  std::set<std::string> orders;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const FreshMachine fresh(machine(2, seed));
    const StreamHandle first;
    REQUIRE(cudaSetDevice(1) == cudaSuccess);
    const StreamHandle second;
    REQUIRE(cudaSetDevice(0) == cudaSuccess);
    Notes notes;
    const CapturedGraph graph(first.stream, [&] {
      notes.add(first.stream, 'a');
      let_wait(second.stream, first.stream);
      for (const char letter : {'b', 'c'}) notes.add(first.stream, letter);
      for (const char letter : {'x', 'y'}) notes.add(second.stream, letter);
      let_wait(first.stream, second.stream);
      notes.add(first.stream, 'd');
    });
    graph.launch(first.stream);
    REQUIRE(cudaStreamSynchronize(first.stream) == cudaSuccess);
    orders.insert(notes.text);
  }
  CHECK(orders.size() == 6);  // all that there are
  for (const std::string& order : orders) {
    CHECK(order.front() == 'a');
    CHECK(order.back() == 'd');
    CHECK(order.find('b') < order.find('c'));
    CHECK(order.find('x') < order.find('y'));
  }
}

TEST_CASE("graph: a race between nodes without an order is found") {
  if (!is_checked()) return;
  for (const bool ordered : {true, false})
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
      const FreshMachine fresh(machine(1, seed));
      const DeviceBuffer<float> x(100), y(100);
      const StreamHandle first, second;
      const CapturedGraph graph(first.stream, [&] {
        fill(y.data(), 1, 100, first.stream);
        let_wait(second.stream, first.stream);
        fill(x.data(), 1, 100, first.stream);
        if (ordered) let_wait(second.stream, first.stream);
        fill(x.data(), 2, 100, second.stream);
        let_wait(first.stream, second.stream);
      });
      graph.launch(first.stream);
      if (ordered) {
        CHECK(cudaStreamSynchronize(first.stream) == cudaSuccess);
        continue;
      }
      CHECK(cudaStreamSynchronize(first.stream) != cudaSuccess);
      CHECK(contains(only_report(sim::Finding::stream_race), "fill_kernel"));
    }
}

TEST_CASE("graph: a launch that uses freed memory is found") {
  if (!is_checked()) return;
  const FreshMachine fresh(machine(1));
  const StreamHandle stream;
  float* memory = nullptr;
  REQUIRE(cudaMalloc(reinterpret_cast<void**>(&memory), 400) == cudaSuccess);
  const CapturedGraph graph(stream.stream, [&] { fill(memory, 1, 100, stream.stream); });
  graph.launch(stream.stream);
  REQUIRE(cudaStreamSynchronize(stream.stream) == cudaSuccess);
  REQUIRE(cudaFree(memory) == cudaSuccess);
  graph.launch(stream.stream);
  CHECK(cudaStreamSynchronize(stream.stream) != cudaSuccess);
  CHECK(contains(only_report(sim::Finding::use_after_free), "fill_kernel"));
}

TEST_CASE("graph: blocks of an allocator live from launch to launch") {
  if (!is_checked()) return;
  const FreshMachine fresh(machine(1));
  const StreamHandle stream;
  const DeviceBuffer<float> memory(1024);
  for (const bool returned : {false, true}) {
    const CapturedGraph graph(stream.stream, [&] {
      sim::block_handed_out(memory.data(), 400, stream.stream);
      if (returned) sim::block_returned(memory.data(), stream.stream);
      fill(memory.data(), 1, 100, stream.stream);
      if (!returned) sim::block_returned(memory.data(), stream.stream);
    });
    CHECK(graph.nodes() == 1);
    sim::block_returned(memory.data(), stream.stream);  // of a graph that was not launched
    REQUIRE(cudaStreamSynchronize(stream.stream) == cudaSuccess);
    for (int i = 0; i < 2; ++i) graph.launch(stream.stream);
    CHECK((cudaStreamSynchronize(stream.stream) == cudaSuccess) == !returned);
  }
  CHECK(contains(only_report(sim::Finding::use_after_free), "block"));
}

TEST_CASE("graph: faults strike a launch, or the n-th operation that launches start") {
  in_every_mode(2, [] {
    const StreamHandle stream;
    Notes notes;
    const CapturedGraph graph(stream.stream, [&] {
      for (const char letter : {'a', 'b', 'c'}) notes.add(stream.stream, letter);
    });
    sim::fail_call("cudaGraphLaunch", 2, cudaErrorMemoryAllocation);
    sim::fail_graph_node(0, 5, cudaErrorIllegalAddress);
    sim::fail_graph_node(1, 1);
    graph.launch(stream.stream);
    CHECK(cudaGraphLaunch(graph.exec, stream.stream) == cudaErrorMemoryAllocation);
    CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
    REQUIRE(cudaStreamSynchronize(stream.stream) == cudaSuccess);
    graph.launch(stream.stream);
    CHECK(cudaStreamSynchronize(stream.stream) == cudaErrorIllegalAddress);
    CHECK(notes.text == "abca");
    CHECK(cudaGraphLaunch(graph.exec, stream.stream) == cudaErrorIllegalAddress);
    CHECK(sim::forget_faults() == 1);
  });
}

TEST_CASE("graph: a link that is damaged after the capture damages what crosses it") {
  in_every_mode(2, [] {
    const std::vector<float> values{1, 2, 3, 4};
    REQUIRE(cudaSetDevice(1) == cudaSuccess);
    const DeviceBuffer<float> there(values);
    REQUIRE(cudaSetDevice(0) == cudaSuccess);
    REQUIRE(cudaDeviceEnablePeerAccess(1, 0) == cudaSuccess);
    const DeviceBuffer<float> read(std::vector<float>(4, 0)), copied(4);
    const StreamHandle stream;
    const CapturedGraph graph(stream.stream, [&] {
      REQUIRE(cudaMemsetAsync(read.data(), 0, 16, stream.stream) == cudaSuccess);
      saxpy(1, there.data(), read.data(), 4, stream.stream);
      REQUIRE(cudaMemcpyPeerAsync(copied.data(), 0, there.data(), 1, 16, stream.stream) == cudaSuccess);
    });
    for (const bool damaged : {false, true}) {
      if (damaged) sim::corrupt_link(1, 0);
      graph.launch(stream.stream);
      REQUIRE(cudaStreamSynchronize(stream.stream) == cudaSuccess);
      CHECK((read.download() == values) == !damaged);
      CHECK((copied.download() == values) == !damaged);
    }
  });
}

TEST_CASE("graph: faults of kernels and copies strike those of launches") {
  for (const bool copy : {false, true}) {
    const FreshMachine fresh(machine(1));
    const StreamHandle stream;
    const DeviceBuffer<float> x(std::vector<float>(2, 0.0f));
    const CapturedGraph graph(stream.stream, [&] {
      fill(x.data(), 1, 1, stream.stream);
      REQUIRE(cudaMemcpyAsync(x.data() + 1, x.data(), 4, cudaMemcpyDefault, stream.stream) == cudaSuccess);
    });
    copy ? sim::fail_copy(0, 2) : sim::fail_kernel(0, 2);
    graph.launch(stream.stream);
    REQUIRE(cudaStreamSynchronize(stream.stream) == cudaSuccess);
    graph.launch(stream.stream);
    CHECK(cudaStreamSynchronize(stream.stream) == cudaErrorLaunchFailure);
  }
}

TEST_CASE(
    "graph: its kernels count for the one with which a device is lost, and it cannot be launched then") {
  sim::Machine settings = machine(2);
  settings.gpus[1].lost_after = 2;
  const FreshMachine fresh(settings);
  const StreamHandle first;
  REQUIRE(cudaSetDevice(1) == cudaSuccess);
  const StreamHandle second;
  const DeviceBuffer<float> x(std::vector<float>(100, 0.0f));
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  REQUIRE(cudaSetDevice(0) == cudaSuccess);
  const CapturedGraph graph(first.stream, [&] {
    let_wait(second.stream, first.stream);
    {
      const OnDeviceOf device(second.stream);
      fill(x.data(), 1, 100, second.stream);
    }
    let_wait(first.stream, second.stream);
  });
  graph.launch(first.stream);
  graph.launch(first.stream);
  CHECK(cudaGraphLaunch(graph.exec, first.stream) == cudaErrorDevicesUnavailable);
  CHECK(cudaGetLastError() == cudaErrorDevicesUnavailable);
  CHECK(cudaStreamSynchronize(first.stream) == cudaSuccess);
}

TEST_CASE("graph: a launch counts as one, its bytes as they move") {
  in_every_mode(2, [] {
    const StreamHandle first;
    REQUIRE(cudaSetDevice(1) == cudaSuccess);
    const StreamHandle second;
    const DeviceBuffer<float> there(100);
    REQUIRE(cudaSetDevice(0) == cudaSuccess);
    const DeviceBuffer<float> here(100);
    const sim::Counters before = sim::counters();
    const CapturedGraph graph(first.stream, [&] {
      fill(here.data(), 1, 100, first.stream);
      let_wait(second.stream, first.stream);
      REQUIRE(cudaMemcpyPeerAsync(there.data(), 1, here.data(), 0, 400, second.stream) == cudaSuccess);
      let_wait(first.stream, second.stream);
      REQUIRE(cudaMemsetAsync(here.data(), 0, 400, first.stream) == cudaSuccess);
    });
    const sim::Counters captured = sim::counters();
    CHECK((captured - before).kernels == 1);
    CHECK((captured - before).copies == 1);
    CHECK((captured - before).bytes_between_devices == 0);
    for (int i = 0; i < 3; ++i) graph.launch(first.stream);
    const sim::Counters launched = sim::counters() - captured;
    const sim::GraphCounters once = sim::graph_counters();
    CHECK(once.launches == 3);
    CHECK(once.nodes == 9);
    CHECK(sim::graph_counters(1).launches == 0);
    CHECK(sim::graph_counters(1).nodes == 3);
    graph.launch(second.stream);
    CHECK(sim::graph_counters(1).launches == 1);
    CHECK((sim::graph_counters() - once).nodes == 3);
    CHECK(launched.bytes_between_devices == 3 * 400);
    CHECK(launched.bytes_set == 3 * 400);
    CHECK(launched.kernels + launched.copies + launched.host_functions + launched.event_records +
              launched.stream_waits + launched.host_synchronizations ==
          0);
    REQUIRE(cudaStreamSynchronize(second.stream) == cudaSuccess);
  });
}

TEST_CASE("graph: an update takes over a graph of the same shape") {
  in_every_mode(1, [] {
    const StreamHandle first, second;
    const DeviceBuffer<float> x(std::vector<float>(100, 0.0f)), y(std::vector<float>(100, 0.0f));
    const auto shape = [&](float value, bool forked, bool copied = false) {
      const cudaStream_t other = forked ? second.stream : first.stream;
      return std::make_unique<CapturedGraph>(
          first.stream, [&first, &second, &x, &y, value, forked, copied, other] {
            if (forked) let_wait(second.stream, first.stream);
            fill(x.data(), value, 100, first.stream);
            if (copied) {
              REQUIRE(cudaMemsetAsync(y.data(), 0, 400, other) == cudaSuccess);
            } else {
              fill(y.data(), value, 100, other);
            }
            if (forked) let_wait(first.stream, second.stream);
          });
    };
    const auto chain = shape(1, false), fork = shape(2, true), newer = shape(3, false),
               mixed = shape(4, false, true);
    cudaGraphExecUpdateResultInfo info{};
    CHECK(cudaGraphExecUpdate(chain->exec, fork->graph, &info) == cudaErrorGraphExecUpdateFailure);
    CHECK(info.result == cudaGraphExecUpdateErrorTopologyChanged);
    CHECK(cudaGraphExecUpdate(chain->exec, mixed->graph, &info) == cudaErrorGraphExecUpdateFailure);
    CHECK(info.result == cudaGraphExecUpdateErrorNodeTypeChanged);
    CHECK(cudaGetLastError() == cudaErrorGraphExecUpdateFailure);
    chain->launch(first.stream);
    REQUIRE(cudaMemcpyAsync(y.data(), x.data(), 400, cudaMemcpyDefault, first.stream) == cudaSuccess);
    CHECK(cudaGraphExecUpdate(chain->exec, newer->graph, &info) == cudaSuccess);
    CHECK(info.result == cudaGraphExecUpdateSuccess);
    REQUIRE(cudaStreamSynchronize(first.stream) == cudaSuccess);
    CHECK(y.download() == std::vector<float>(100, 1.0f));  // as launched before
    chain->launch(first.stream);
    REQUIRE(cudaStreamSynchronize(first.stream) == cudaSuccess);
    CHECK(y.download() == std::vector<float>(100, 3.0f));
  });
}

TEST_CASE("graph: what was destroyed is refused, and finishes what it had started") {
  in_every_mode(1, [] {
    const StreamHandle stream;
    const DeviceBuffer<float> x(std::vector<float>(100, 0.0f));
    cudaGraphExec_t exec = nullptr;
    cudaGraph_t graph = nullptr;
    {
      const CapturedGraph captured(stream.stream, [&] { fill(x.data(), 1, 100, stream.stream); });
      CHECK(cudaGraphUpload(captured.exec, stream.stream) == cudaSuccess);
      captured.launch(stream.stream);
      exec = captured.exec;
      graph = captured.graph;
    }
    CHECK(cudaGraphLaunch(exec, stream.stream) == cudaErrorInvalidValue);
    CHECK(cudaGraphInstantiate(&exec, graph, 0) == cudaErrorInvalidValue);
    CHECK(cudaGraphDestroy(graph) == cudaErrorInvalidValue);
    cudaGetLastError();
    REQUIRE(cudaStreamSynchronize(stream.stream) == cudaSuccess);
    CHECK(x.download() == std::vector<float>(100, 1.0f));
  });
}

TEST_CASE("graph: a long chain is launched and destroyed") {
  const FreshMachine fresh(machine(1));
  const StreamHandle stream;
  int calls = 0;
  {
    const CapturedGraph graph(stream.stream, [&] {
      for (int i = 0; i < 50'000; ++i)
        REQUIRE(cudaLaunchHostFunc(
                    stream.stream, [](void* data) { ++*static_cast<int*>(data); }, &calls) == cudaSuccess);
    });
    graph.launch(stream.stream);
  }
  REQUIRE(cudaStreamSynchronize(stream.stream) == cudaSuccess);
  CHECK(calls == 50'000);
}
