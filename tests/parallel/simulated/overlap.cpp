#include <miniparallel/simulator_clock.h>
#include <miniparallel/simulator_history.h>

#include "../../cuda/simulated.h"
#include "../models.h"
#include "engine/device/accelerator.h"
#include "steady.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <barrier>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

// Buckets of gradients are summed while the backward goes on.

namespace miniparallel {
namespace {

using testing::Mlp;
using testing::Simulated;

/// Called with its device in each replica when the backward has come to the first layer.
std::function<void(Device)> in_backward;

struct Watched {
  nn::Linear first{4, 16}, second{16, 4};

  Tensor operator()(const Tensor& x) {
    const Tensor h = first(x);
    h.register_hook([](const Tensor& gradient) {
      if (in_backward) in_backward(gradient.device());
      return Tensor();
    });
    return second(relu(h));
  }
};

TEST_CASE("overlap: the last layer's gradients are summed before the first layer's are computed") {
  for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded})
    for (const int gpus : {2, 3, 4, 8}) {
      CAPTURE(gpus);
      simulator::Machine machine = simulator::machine_with(gpus);
      machine.streams = streams;
      const Simulated simulated(machine);
      // Bytes of gradients on the links when all replicas have come to the first layer.
      const auto kernels_of = [&](std::int64_t bucket_bytes, std::int64_t* at_first_layer) {
        DataParallel model{Watched{}, {.bucket_bytes = bucket_bytes}};
        const Tensor x = randn({16, 4});
        model(x).sum().backward();  // tries the links
        std::barrier all(gpus);
        simulator::Counters before;
        in_backward = [&](Device device) {
          all.arrive_and_wait();
          if (device == model.device()) {
            *at_first_layer = (simulator::counters() - before).kernels;
            // The sum needs nothing that comes later: it can be waited for.
            const StreamScope scope(device, StreamKind::communication);
            Event summed(device);
            summed.record();
            summed.synchronize();
          }
          all.arrive_and_wait();
        };
        const Tensor loss = model(x).sum();
        before = simulator::counters();
        loss.backward();
        const std::int64_t kernels = (simulator::counters() - before).kernels;
        in_backward = nullptr;
        return kernels;
      };
      std::int64_t early_in_one = 0, early_in_buckets = 0;
      const std::int64_t one = kernels_of(std::int64_t{1} << 20, &early_in_one);
      const std::int64_t buckets = kernels_of(512, &early_in_buckets);  // a layer each
      CHECK(buckets == one + 1);
      CHECK(early_in_buckets == early_in_one + 1);
    }
}

/// 16 layers of 257 KiB: three of them make the first bucket, the others the second one.
struct Tower {
  std::vector<nn::Linear> layers;
  Tower() {
    for (int i = 0; i < 16; ++i) layers.emplace_back(256, 256);
  }
  Tensor operator()(Tensor x) {
    for (nn::Linear& layer : layers) x = tanh(layer(x));
    return x;
  }
  MINIPARALLEL_MEMBERS(layers)
};

TEST_CASE(
    "overlap: the first bucket is small, so that a slow link has work before half of the backward ran") {
  for (const int gpus : {2, 4}) {
    CAPTURE(gpus);
    const Simulated simulated(gpus);
    simulator::Speeds speeds = simulator::preset("h100").speeds;
    speeds.link = 1e9;  // bytes per second
    simulator::start_clock(speeds);
    DataParallel model{Tower{}};
    const Tensor x = randn({2 * gpus, 256});
    const auto wait = [&] {
      for (const Device device : model.devices()) synchronize(device);
    };
    for (int step = 0; step < 2; ++step) {
      model.zero_grad();  // nothing that the sums would be added to
      const Tensor loss = mean(square(model(x)));
      wait();
      simulator::start_history();
      loss.backward();
      wait();
      double first_sum = 1e9, last_sum = 0, end = 0;
      int launches = 0, before_sum = 0;
      const std::vector<simulator::Step> steps = simulator::take_history();
      const auto is_sum = [](const simulator::Step& done) {
        return done.name.find("sum_arrays") != std::string::npos;
      };
      for (const simulator::Step& done : steps)
        if (is_sum(done)) {
          first_sum = std::min(first_sum, done.start);
          last_sum = std::max(last_sum, done.end);
        }
      for (const simulator::Step& done : steps) {
        if (is_sum(done) || done.kind == simulator::StepKind::copy) continue;
        ++launches;
        before_sum += done.end <= first_sum ? 1 : 0;
        end = std::max(end, done.end);
      }
      if (step == 0) continue;  // finds its memory
      CHECK(launches > 32 * gpus);
      CHECK(2 * before_sum < launches);
      CHECK(last_sum > end);  // the link is what takes time
    }
  }
}

TEST_CASE("overlap: a steady step with buckets waits for nothing and asks for no memory") {
  for (const int gpus : {2, 4, 8})
    for (const GradientReduction reduction : {GradientReduction::direct, GradientReduction::sharded}) {
      const Simulated simulated(gpus);
      DataParallel model{Mlp{}, {.replicas = 8, .reduction = reduction, .bucket_bytes = 256}};
      testing::for_each_steady_step(model, randn({16, 6}), randint(0, 4, {16}), [](const auto& work) {
        CHECK(work.host_synchronizations == 0);
        CHECK(work.allocations == 0);
        CHECK(work.frees == 0);
      });
    }
}

TEST_CASE("overlap: a backward that fails when buckets have been summed leaves every gradient as it was") {
  for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded})
    for (const int gpus : {2, 8}) {
      simulator::Machine machine = simulator::machine_with(gpus);
      machine.streams = streams;
      const Simulated simulated(machine);
      DataParallel model{Watched{}, {.bucket_bytes = 1}};
      const Tensor x = randn({16, 4});
      const auto grads = [&] {
        std::vector<std::vector<float>> values;
        for (const Tensor& parameter : model.parameters())
          values.push_back(parameter.grad().to_vector<float>());
        return values;
      };
      model(x).sum().backward();
      const auto once = grads();
      for (int round = 0; round < 2; ++round) {
        std::barrier all(gpus);
        in_backward = [&](Device device) {
          all.arrive_and_wait();
          if (device.index == gpus - 1) throw std::runtime_error("no gradient");
        };
        CHECK_THROWS_WITH_AS(model(x * 3).sum().backward(), "no gradient", std::runtime_error);
        in_backward = nullptr;
        CHECK(grads() == once);
      }
      model.zero_grad();
      model(x).sum().backward();
      CHECK(grads() == once);
    }
}

}  // namespace
}  // namespace miniparallel
