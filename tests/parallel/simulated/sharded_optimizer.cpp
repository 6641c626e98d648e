#include <miniparallel/miniparallel.h>

#include "../../cuda/messages.h"
#include "../../cuda/simulated.h"
#include "../models.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

// What a sharded optimizer asks of each GPU: memory, launches, copies.

namespace miniparallel {
namespace {

using testing::Simulated;

/// Of whose memory parameters, gradients and states are nearly all: 3 layers,
/// whose inputs and outputs are small.
struct Large {
  nn::Linear first{16, 256}, second{256, 256}, third{256, 8};
  Tensor operator()(const Tensor& x) { return third(relu(second(relu(first(x))))); }
  static constexpr std::int64_t parameters = 17 * 256 + 257 * 256 + 257 * 8;
};

/// The peak of each GPU's memory in a step after some.
std::vector<std::int64_t> peaks(int gpus, bool sharded) {
  simulator::Machine settings = simulator::machine_with(gpus);
  settings.streams = simulator::Streams::lazy;
  settings.seed = 0;
  const Simulated machine(settings);
  DataParallel model{Large{}, {.shard_optimizer = sharded}};
  optim::Adam optimizer(model.parameters());
  for (int step = 0; step < 4; ++step) {
    for (const Device device : model.devices()) synchronize(device), reset_peak_memory(device);
    model.loss(mse_loss, randn({8, 16}), randn({8, 8})).backward();
    optimizer.step();
    optimizer.zero_grad();
  }
  std::vector<std::int64_t> all;
  for (const Device device : model.devices()) all.push_back(memory_stats(device).peak);
  return all;
}

TEST_CASE(
    "sharded optimizer: each GPU has its share of the states, and the "
    "first one is no fuller") {
  constexpr std::int64_t bytes = 4 * Large::parameters;
  for (const int gpus : {2, 4, 8}) {
    CAPTURE(gpus);
    const std::vector<std::int64_t> master = peaks(gpus, false), sharded = peaks(gpus, true);
    CAPTURE(master[0]);
    CAPTURE(sharded[0]);
    CAPTURE(sharded[1]);
    constexpr std::int64_t kOutputs = 4096;  // of 8 rows, their targets, losses and gradients
    const auto [least, most] = std::ranges::minmax_element(sharded.begin() + 1, sharded.end());
    CHECK(*most - *least <= kOutputs);
    CHECK(sharded[0] <= *most + kOutputs);
    // The first GPU has a share of the two states in place of all, as each other one has. The allocator's sizes are
    // up to an eighth more.
    const std::int64_t share = 2 * bytes / gpus, most_of_share = share + share / 8 + kOutputs;
    CHECK(master[0] - sharded[0] >= 2 * bytes - most_of_share);
    for (std::size_t i = 1; i < sharded.size(); ++i) CHECK(sharded[i] - master[i] <= most_of_share);
  }
}

TEST_CASE(
    "sharded optimizer: a step is a launch on each GPU, and a copy from "
    "each to every other") {
  for (const int gpus : {2, 3, 8})
    for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded}) {
      simulator::Machine settings = simulator::machine_with(gpus);
      settings.streams = streams;
      const Simulated machine(settings);
      DataParallel model{Large{}, {.shard_optimizer = true}};
      optim::AdamW optimizer(model.parameters());
      for (int step = 0; step < 5; ++step) {
        model.loss(mse_loss, randn({8, 16}), randn({8, 8})).backward();
        const simulator::Counters before = simulator::counters();
        optimizer.step();
        const simulator::Counters work = simulator::counters() - before;
        optimizer.zero_grad();
        for (const Device device : model.devices()) synchronize(device);
        if (step < 2) continue;
        CHECK(work.kernels == gpus);
        CHECK(work.copies == gpus * (gpus - 1));
        CHECK(work.bytes_between_devices == 4 * (gpus - 1) * Large::parameters);
        CHECK(work.host_synchronizations == 0);
        CHECK(work.allocations == 0);
      }
    }
}

TEST_CASE(
    "sharded optimizer: GPUs without links get their share of the "
    "gradients by copies") {
  const auto train = [](bool sharded) {
    simulator::Machine settings = simulator::machine_with(3);
    settings.peers = simulator::Peers::none;
    const Simulated machine(settings);
    const testing::Messages messages;
    manual_seed(3);
    DataParallel model{testing::Mlp{}, {.shard_optimizer = sharded}};
    optim::Adam optimizer(model.parameters());
    for (int step = 0; step < 3; ++step) {
      mean(square(model(testing::Mlp::batch(6).to(float32)))).backward();
      optimizer.step();
      optimizer.zero_grad();
    }
    std::vector<std::vector<float>> values;
    for (const Tensor& parameter : model.parameters()) values.push_back(parameter.to_vector<float>());
    return values;
  };
  CHECK(train(true) == train(false));
}

}  // namespace
}  // namespace miniparallel
