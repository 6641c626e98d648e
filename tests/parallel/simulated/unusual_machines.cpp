#include <miniparallel/simulator_clock.h>

#include "../../cuda/messages.h"
#include "../../cuda/simulated.h"
#include "../models.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

// Training on machines with links that change bytes, with slow GPUs and links, and with many GPUs.

namespace miniparallel {
namespace {

using simulator::Traffic;
using testing::Messages;
using testing::Mlp;
using testing::Simulated;
using Values = std::vector<std::vector<double>>;

constexpr GradientReduction kPaths[] = {GradientReduction::automatic, GradientReduction::direct,
                                        GradientReduction::sharded, GradientReduction::host,
                                        GradientReduction::nccl};

/// Parameters and losses of some steps by Adam, from one seed.
template <class Model>
Values train(Model& model, Device device) {
  optim::Adam optimizer(parameters(model), {.lr = 1e-2});
  manual_seed(8);
  Values values(1);
  for (int step = 0; step < 3; ++step) {
    const Tensor loss = mse_loss(model(Mlp::batch(37)), randn({37, 4}, {.dtype = float64}).to(device));
    loss.backward();
    optimizer.step();
    optimizer.zero_grad();
    values[0].push_back(loss.item());
  }
  for (const Tensor& parameter : parameters(model)) values.push_back(parameter.to_vector<double>());
  return values;
}

Mlp double_mlp() {
  manual_seed(7);
  Mlp net;
  to(net, float64);
  return net;
}

Values train_parallel(const DataParallelOptions& options) {
  DataParallel model{double_mlp(), options};
  return train(model, model.device());
}

Values train_alone() {
  Mlp net = double_mlp();
  return train(net, Device::cpu());
}

void check_close(const Values& values, const Values& expected) {
  REQUIRE(values.size() == expected.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    CHECK(allclose(tensor(values[i]), tensor(expected[i]), 1e-9, 1e-9));
}

simulator::Machine machine(int gpus, simulator::Streams streams = simulator::Streams::lazy) {
  simulator::Machine settings = simulator::machine_with(gpus);
  settings.streams = streams;
  return settings;
}

Values train_on_one(int replicas) {
  const Simulated simulated(1);
  return train_parallel({.replicas = replicas});
}

TEST_CASE("machines: over links that change bytes, of copies or of kernels that read, no bit differs") {
  const Values expected = train_on_one(4);
  for (const int gpus : {2, 4})
    for (const Traffic traffic : {Traffic::all, Traffic::copies, Traffic::kernel_reads})
      for (const bool to_master : {true, false})
        for (const bool sharded : {true, false}) {
          CAPTURE(gpus);
          CAPTURE(static_cast<int>(traffic));
          CAPTURE(to_master);
          const Simulated simulated(machine(gpus));
          const Messages messages;
          simulator::corrupt_link(to_master ? 1 : 0, to_master ? 0 : 1, traffic);
          CHECK(train_parallel({.replicas = 4, .shard_optimizer = sharded}) == expected);
          REQUIRE(messages.list.size() == 1);
          CHECK(messages.list[0].find("go through host memory, which is slower: ") != std::string::npos);
        }
}

TEST_CASE("machines: a reduction that needs a link which changes bytes is refused") {
  for (const Traffic traffic : {Traffic::copies, Traffic::kernel_reads})
    for (const GradientReduction reduction : {GradientReduction::direct, GradientReduction::sharded}) {
      const Simulated simulated(machine(2));
      const Messages messages;
      simulator::corrupt_link(1, 0, traffic);
      CHECK_THROWS_WITH_AS(train_parallel({.reduction = reduction}),
                           doctest::Contains("needs memory that cuda:0 and cuda:1 do not read of each other"),
                           Error);
    }
}

TEST_CASE("machines: with a slow GPU and slow copies no bit differs") {
  const Values expected = train_on_one(3);
  for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded})
    for (const int slow : {0, 2})
      for (const bool sharded : {true, false}) {
        CAPTURE(slow);
        const Simulated simulated(machine(3, streams));
        simulator::slow_down(slow, 5);
        for (const int other : {0, 1, 2}) simulator::slow_link(slow, other, 1e7);
        CHECK(train_parallel({.shard_optimizer = sharded}) == expected);
      }
}

TEST_CASE("machines: Split::by_speed gives a slow GPU fewer rows, with the same results") {
  const Simulated simulated(machine(2, simulator::Streams::threaded));
  simulator::slow_down(1, 20);
  DataParallel model{double_mlp(), {.split = Split::by_speed, .hints = false}};
  const auto rows = [&] {
    const NoGradGuard no_grad;
    std::vector<std::int64_t> sizes;
    for (const Tensor& shard : model.shards(Mlp::batch(40))) sizes.push_back(shard.size(0));
    return sizes;
  };
  using Sizes = std::vector<std::int64_t>;
  for (int step = 0; step < 4; ++step) CHECK(rows() == Sizes{20, 20});
  const Sizes measured = rows();
  CHECK(measured[0] > 25);
  check_close(train(model, model.device()), train_alone());
}

TEST_CASE("machines: a slow link that gradients take delays the modelled step by their bytes, and no bit") {
  const auto step = [](double rate, Values& values) {
    const Simulated simulated(machine(2));
    simulator::start_clock(simulator::preset("h100").speeds);
    DataParallel model{double_mlp(), {.reduction = GradientReduction::direct, .hints = false}};
    train(model, model.device());
    simulator::slow_link(1, 0, rate);  // links have been tried
    const double start = simulator::host_time();
    values = train(model, model.device());
    return simulator::host_time() - start;
  };
  Values fast_values, slow_values;
  const double fast = step(1e12, fast_values), slow = step(1e5, slow_values);
  CHECK(fast_values == slow_values);
  constexpr double bytes = 8 * (7 * 16 + 17 * 4);  // of the gradients, in each of 3 steps
  CHECK(slow - fast >= 3 * bytes / 1e5);
}

TEST_CASE("machines: on 9 and 16 GPUs every way of a sum trains as the model alone") {
  for (const int gpus : {9, 16}) {
    const Values expected = train_on_one(gpus);
    check_close(expected, train_alone());
    for (const int max_peers : gpus == 9 ? std::vector{8} : std::vector{8, 16})
      for (const GradientReduction reduction : kPaths)
        for (const bool sharded : {false, true}) {
          CAPTURE(gpus);
          CAPTURE(max_peers);
          CAPTURE(static_cast<int>(reduction));
          CAPTURE(sharded);
          simulator::Machine settings =
              machine(gpus, sharded ? simulator::Streams::threaded : simulator::Streams::lazy);
          settings.max_peers = max_peers;
          const Simulated simulated(settings);
          const Messages messages;
          const DataParallelOptions options{.reduction = reduction, .shard_optimizer = sharded};
          const bool needs_links =
              reduction == GradientReduction::direct || reduction == GradientReduction::sharded;
          if (needs_links && max_peers < gpus - 1)
            CHECK_THROWS_WITH_AS(train_parallel(options), doctest::Contains("do not read of each other"),
                                 Error);
          else if (reduction == GradientReduction::nccl)
            check_close(train_parallel(options), expected);
          else
            CHECK(train_parallel(options) == expected);
          CHECK(messages.list.size() == (max_peers < gpus - 1 ? 1 : 0));
        }
  }
}

}  // namespace
}  // namespace miniparallel
