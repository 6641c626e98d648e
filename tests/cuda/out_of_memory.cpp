#include <miniparallel/miniparallel.h>

#include "nets.h"
#include "simulated.h"

// Training on GPUs whose memory does not suffice, and what the statistics say.

namespace miniparallel {
namespace {

using testing::Simulated;

const Device gpu = Device::cuda(0);

simulator::Machine small_machine(int gpus, std::size_t megabytes) {
  simulator::Machine machine = simulator::machine_with(gpus);
  for (simulator::Gpu& each : machine.gpus) each.memory = megabytes << 20;
  return machine;
}

TEST_CASE("out of memory: a batch too large is an error, a smaller one trains at once") {
  const Simulated machine(small_machine(1, 40));
  manual_seed(1);
  testing::Mlp net;
  to(net, gpu);
  optim::Adam optimizer(parameters(net), {.lr = 1e-2});
  const auto step = [&](std::int64_t rows) {
    const Tensor loss = cross_entropy(net(randn({rows, 20}, {.device = gpu})), randint(0, 5, {rows}).to(gpu));
    loss.backward();
    optimizer.step();
    optimizer.zero_grad();
    return loss.item();
  };
  step(100);
  const std::int64_t held = memory_stats(gpu).used;
  for (const std::int64_t rows : {100'000, 60'000, 1'000'000}) {
    CHECK_THROWS_WITH_AS(step(rows), doctest::Contains("cuda:0: out of memory: "), OutOfMemoryError);
    optimizer.zero_grad();
    CHECK(memory_stats(gpu).used == held);  // nothing of the failed step is left
    CHECK(step(100) > 0);
    CHECK(step(10'000) > 0);
  }
}

TEST_CASE("out of memory: on one of several GPUs, in the middle of a backward, the others stay usable") {
  for (const int failing : {0, 1, 2}) {
    const Simulated machine(3);
    const Tensor w = ones({1000}).requires_grad_();
    const auto loss = [&] {
      Tensor sum = zeros({});
      for (int i = 0; i < 3; ++i) sum = sum + tanh(w.to(Device::cuda(i))).sum().cpu();
      return sum;
    };
    loss().backward();
    for (int i = 0; i < 3; ++i) empty_cache(Device::cuda(i));
    const Tensor sum = loss();
    for (int i = 0; i < 3; ++i) empty_cache(Device::cuda(i));            // so that backward asks CUDA again
    for (int i = 0; i < 2; ++i) simulator::fail_allocation(failing, 1);  // also when it tries again
    simulator::fail_allocation(failing, 2);
    const std::string name = to_string(Device::cuda(failing)) + ": out of memory";
    CHECK_THROWS_WITH_AS(sum.backward(), doctest::Contains(name.c_str()), OutOfMemoryError);
    w.set_grad({});
    loss().backward();
    CHECK(w.grad().defined());
  }
}

TEST_CASE("memory: what is used, cached and asked for adds up to what CUDA gave") {
  const Simulated machine;
  {
    const Tensor first = ones({1}, {.device = gpu});
  }
  empty_cache(gpu);
  const std::int64_t elsewhere = simulator::counters(0).bytes_in_use;  // the kernels' own
  reset_peak_memory(gpu);
  const MemoryStats before = memory_stats(gpu);
  Tensor a = ones({3000}, {.device = gpu}), b = ones({1000}, {.device = gpu});
  const std::int64_t both = memory_stats(gpu).used;
  CHECK(both >= 4 * 4000);
  CHECK(both <= 5 * 4000);
  a = Tensor();
  MemoryStats stats = memory_stats(gpu);
  CHECK(stats.used + stats.cached == simulator::counters(0).bytes_in_use - elsewhere);
  CHECK(stats.peak == both);
  CHECK(stats.allocations == before.allocations + 2);
  CHECK(stats.system_calls == before.system_calls + 2);
  a = ones({3000}, {.device = gpu});  // from the cache
  CHECK(memory_stats(gpu).system_calls == before.system_calls + 2);
  CHECK(memory_stats(gpu).cached == 0);
  reset_peak_memory(gpu);
  b = Tensor();
  empty_cache(gpu);
  stats = memory_stats(gpu);
  CHECK(stats.peak == both);  // held when the measurement began
  CHECK(stats.cached == 0);
  CHECK(stats.used == simulator::counters(0).bytes_in_use - elsewhere);
}

TEST_CASE("out of memory: cached memory is given back for the kernels' workspaces and for cuBLAS") {
  const Simulated machine(small_machine(1, 64));
  {
    const Tensor cached = ones({14 << 20}, {.device = gpu});
  }  // 56 MiB, and a workspace takes 32
  CHECK(memory_stats(gpu).cached == 56 << 20);
  simulator::fail_library_call("cublasCreate", 1);
  nn::Linear linear(30, 20);
  to(linear, gpu);
  CHECK(linear(ones({10, 30}, {.device = gpu})).defined());
  CHECK(memory_stats(gpu).cached < 1 << 20);
}

TEST_CASE("out of memory: without room for a workspace the error says so, and with room all goes on") {
  const Simulated machine(small_machine(1, 64));
  Tensor large = ones({14 << 20}, {.device = gpu});
  CHECK_THROWS_WITH_AS(large.sum(), doctest::Contains("cuda:0: out of memory: a workspace of 33554432 bytes"),
                       OutOfMemoryError);
  large = Tensor();
  CHECK(ones({1 << 20}, {.device = gpu}).sum().item() == 1 << 20);
}

}  // namespace
}  // namespace miniparallel
