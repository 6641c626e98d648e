#include <miniparallel/miniparallel.h>
#include <miniparallel/simulator_history.h>

#include "../../cuda/messages.h"
#include "../../cuda/simulated.h"
#include "../models.h"
#include "steady.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
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

/// The same with a body that is not trained.
struct Tuned {
  nn::Linear body{16, 256}, frozen{256, 128}, trained{128, 256}, head{256, 8};
  Tuned() {
    for (nn::Linear* const layer : {&body, &frozen})
      for (Tensor* const parameter : {&layer->weight, &layer->bias}) parameter->requires_grad_(false);
  }
  Tensor operator()(const Tensor& x) { return head(relu(trained(relu(frozen(relu(body(x))))))); }
  static constexpr std::int64_t trained_parameters = 129 * 256 + 257 * 8;
  MINIPARALLEL_MEMBERS(body, frozen, trained, head)
};

/// The peak of each GPU's memory in a step after some.
template <class Net>
std::vector<std::int64_t> peaks(int gpus, bool sharded) {
  simulator::Machine settings = simulator::machine_with(gpus);
  settings.streams = simulator::Streams::lazy;
  settings.seed = 0;
  const Simulated machine(settings);
  DataParallel model{Net{}, {.shard_optimizer = sharded}};
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
    const std::vector<std::int64_t> master = peaks<Large>(gpus, false), sharded = peaks<Large>(gpus, true);
    CAPTURE(master[0]);
    CAPTURE(sharded[0]);
    CAPTURE(sharded[1]);
    constexpr std::int64_t kOutputs = 4096;  // of 8 rows, their targets, losses and gradients
    const auto [least, most] = std::ranges::minmax_element(sharded.begin() + 1, sharded.end());
    CHECK(*most - *least <= kOutputs);
    CHECK(sharded[0] <= *most + kOutputs);
    // The first GPU has a share of the two states in place of all, as each other one has. The allocator's
    // sizes are up to an eighth more.
    const std::int64_t share = 2 * bytes / gpus, most_of_share = share + share / 8 + kOutputs;
    CHECK(master[0] - sharded[0] >= 2 * bytes - most_of_share);
    for (std::size_t i = 1; i < sharded.size(); ++i) CHECK(sharded[i] - master[i] <= most_of_share);
  }
}

TEST_CASE("sharded optimizer: shares are equal where the first half of the parameters is frozen") {
  for (const int gpus : {2, 4, 8}) {
    CAPTURE(gpus);
    const std::vector<std::int64_t> sharded = peaks<Tuned>(gpus, true);
    CAPTURE(sharded[0]);
    CAPTURE(sharded.back());
    constexpr std::int64_t kOutputs = 4096, states = 2 * 4 * Tuned::trained_parameters;
    // The allocator's sizes are up to an eighth more.
    CHECK(std::ranges::max(sharded) - std::ranges::min(sharded) <= kOutputs + states / gpus / 8);
  }
}

TEST_CASE(
    "sharded optimizer: a step is a launch on each GPU, and a copy from "
    "each to every other") {
  for (const int gpus : {2, 3, 4, 8})
    for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded}) {
      simulator::Machine settings = simulator::machine_with(gpus);
      settings.streams = streams;
      const Simulated machine(settings);
      DataParallel model{Large{}, {.shard_optimizer = true}};
      optim::AdamW optimizer(model.parameters());
      for (int step = 0; step < 5; ++step) {
        const Tensor loss = model.loss(mse_loss, randn({8, 16}), randn({8, 8}));
        loss.backward();
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

TEST_CASE("sharded optimizer: GPUs read sums of their own shares, and others are brought to whoever looks") {
  constexpr std::int64_t bytes = 4 * (Large::parameters + 56);  // the last bias has a place of 64
  for (const int gpus : {1, 2, 3, 4, 8}) {
    CAPTURE(gpus);
    std::int64_t launches_of_master = 0;
    for (const bool sharded : {false, true}) {
      const Simulated machine(gpus);
      DataParallel model{Large{}, {.shard_optimizer = sharded}};
      for (int step = 0; step < 4; ++step) {
        const Tensor loss = model.loss(mse_loss, randn({8, 16}), randn({8, 8}));
        simulator::Counters before = simulator::counters();
        loss.backward();
        const simulator::Counters backward = simulator::counters() - before;
        CHECK(model.counters().bytes_reduced == (gpus - 1) * bytes);
        before = simulator::counters();
        const Tensor gradient = model.parameters()[2].grad();
        for (int look = 0; look < 2; ++look) static_cast<void>(gradient * 1);
        const simulator::Counters looking = simulator::counters() - before;
        model.zero_grad();
        for (const Device device : model.devices()) synchronize(device);
        if (step < 2) continue;
        if (!sharded) launches_of_master = backward.kernels;
        const int others = sharded ? gpus - 1 : 0;  // with a sum each, of which the master does one
        CHECK(backward.kernels == launches_of_master + others);
        CHECK(backward.host_synchronizations == 0);
        CHECK(backward.allocations == 0);
        CHECK(looking.kernels == 2);
        CHECK(looking.copies == others);
        CHECK(looking.host_synchronizations == 0);
        // All but the first one's share, which is a multiple of 128 elements.
        CHECK(std::abs(looking.bytes_between_devices - others * bytes / gpus) <= 4 * 128 * others);
      }
    }
  }
}

/// Of three layers, each of which is a bucket.
struct Deep {
  nn::Linear first{128, 128}, second{128, 128}, third{128, 128};
  Tensor operator()(const Tensor& x) {
    Tensor h = first(x);
    mark(early, h.device());
    h = third(tanh(second(tanh(h))));
    mark(late, h.device());
    return h;
  }
  static constexpr std::int64_t bucket = 4 * 129 * 128;
  /// What one GPU has been given until its first layer, and its last one, are done.
  static inline std::optional<Event> early, late;
  static inline int watched = 0;
  static void mark(std::optional<Event>& event, Device device) {
    if (device.index != watched) return;
    event.emplace(device);
    event->record();
  }
};

TEST_CASE("sharded optimizer: a layer of the next forward waits for its own bucket alone") {
  for (const int gpus : {2, 3, 4, 8})
    for (const int watched : {0, gpus - 1}) {
      CAPTURE(gpus);
      CAPTURE(watched);
      simulator::Machine settings = simulator::machine_with(gpus);
      settings.streams = simulator::Streams::lazy;
      settings.seed = 0;  // nothing runs that nobody waits for
      Simulated machine(settings);
      {
        Deep::watched = watched;
        DataParallel model{Deep{}, {.bucket_bytes = Deep::bucket, .shard_optimizer = true}};
        optim::Adam optimizer(model.parameters());
        const Tensor x = randn({2 * gpus, 128});
        for (int step = 0; step < 3; ++step) {
          mean(square(model(x))).backward();
          for (const Device device : model.devices()) synchronize(device);
          // Each GPU sends its share of a bucket to every other, bucket by bucket. The last
          // copy of all fails.
          if (step == 2) simulator::fail_copy(gpus - 1, 3 * (gpus - 1));
          const simulator::Counters before = simulator::counters();
          optimizer.step();
          optimizer.zero_grad();
          CHECK((simulator::counters() - before).copies == 3 * gpus * (gpus - 1));
          CHECK((simulator::counters() - before).host_synchronizations == 0);
        }
        CHECK(simulator::faults_to_come() == 0);
        model(x);
        Deep::early->synchronize();  // throws if it needs what has failed
        machine.expect_failure();
        if (watched == gpus - 1 || gpus == 2)  // from which it leaves, or where it arrives
          CHECK_THROWS_AS(Deep::late->synchronize(), Error);
        else
          CHECK_THROWS_AS(synchronize(Device::cuda(gpus - 1)), Error);
        Deep::early = Deep::late = std::nullopt;
      }
    }
}

TEST_CASE("sharded optimizer: steady steps of several buckets wait for nothing and ask for no memory") {
  for (const int gpus : {2, 3, 4, 8})
    for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded}) {
      simulator::Machine settings = simulator::machine_with(gpus);
      settings.streams = streams;
      const Simulated machine(settings);
      Deep::watched = -1;
      DataParallel model{Deep{}, {.replicas = 8, .bucket_bytes = Deep::bucket, .shard_optimizer = true}};
      testing::for_each_steady_step(model, randn({16, 128}), randint(0, 128, {16}), [](const auto& work) {
        CHECK(work.host_synchronizations == 0);
        CHECK(work.allocations == 0);
        CHECK(work.frees == 0);
      });
    }
}

TEST_CASE("sharded optimizer: after a step that fails anywhere all GPUs have the same parameters") {
  for (const int gpus : {2, 3, 4})
    for (const std::int64_t bucket : {Deep::bucket, std::int64_t{1} << 30}) {  // several, and one
      CAPTURE(gpus);
      CAPTURE(bucket);
      Simulated machine(gpus);
      const testing::Messages silent;
      Deep::watched = -1;
      DataParallel model{Deep{}, {.bucket_bytes = bucket, .shard_optimizer = true}};
      optim::Adam optimizer(model.parameters());
      const Tensor rows = cat(std::vector<Tensor>(static_cast<std::size_t>(gpus), randn({1, 128})));
      const auto backward = [&] { mean(square(model(randn({gpus, 128})))).backward(); };
      backward();
      optimizer.step();
      StateDict state;
      for (const auto& [name, tensor] : model.state_dict()) state[name] = tensor.cpu().clone();
      const Tensor expected = model(rows).detach().cpu();
      int struck = 0;
      for (int nth = 1;; nth += 5, ++struck) {
        CAPTURE(nth);
        optimizer.zero_grad();
        backward();
        simulator::fail_call("", nth, 999);  // cudaErrorUnknown
        try {
          optimizer.step();
        } catch (const Error&) {
        }
        if (simulator::faults_to_come() > 0) break;
        const NoGradGuard no_grad;
        if (nth % 2 == 0) {  // what is written next is not written over by what is still under way
          model.load_state_dict(state);
          CHECK(equal(model(rows).cpu(), expected));
        }
        const Tensor y = model(rows).cpu();
        for (int i = 1; i < gpus; ++i) CHECK(equal(y.select(0, i), y.select(0, 0)));
      }
      CHECK(struck > 5);
      machine.expect_failure();  // the last one may strike what gives memory back
    }
}

TEST_CASE("sharded optimizer: shares are sent side by side, in as many turns as there are other GPUs") {
  for (const int gpus : {2, 3, 4, 8}) {
    CAPTURE(gpus);
    simulator::Machine settings = simulator::machine_with(gpus);
    settings.streams = simulator::Streams::lazy;
    if (settings.checking) return;  // watched arrays take operations more
    const Simulated machine(settings);
    DataParallel model{Large{}, {.shard_optimizer = true}};
    optim::AdamW optimizer(model.parameters());
    for (int step = 0; step < 3; ++step) {
      const Tensor loss = model.loss(mse_loss, randn({8, 16}), randn({8, 8}));
      loss.backward();
      for (const Device device : model.devices()) synchronize(device);
      simulator::start_history();
      optimizer.step();
      std::int64_t chain = 0;
      for (const simulator::Step& done : simulator::take_history()) chain = std::max(chain, done.depth);
      if (step > 0) CHECK(chain == gpus);  // the update, then the copies
      optimizer.zero_grad();
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
