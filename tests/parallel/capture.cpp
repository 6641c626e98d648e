#include <miniparallel/miniparallel.h>

#include "machines.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

// A whole step of several GPUs as one graph: the same bits as without one.

namespace miniparallel {
namespace {

using testing::on_machine;

/// Fewer where each access is looked up.
int steps_of(int wanted) {
  const char* const text = std::getenv("MINIPARALLEL_SAME_BITS_STEPS");
  return text == nullptr ? wanted : std::min(wanted, std::max(std::atoi(text), 5));
}

struct Net {
  nn::Linear first{6, 16, {.bias = false}};
  nn::BatchNorm1d norm{16};
  nn::Dropout drop{0.3};
  nn::Linear second{16, 3};
  Tensor operator()(const Tensor& x) { return second(drop(relu(norm(first(x))))); }
};

using Values = std::vector<std::vector<double>>;

Values values_of(const StateDict& state) {
  Values values;
  for (const auto& [name, tensor] : state) values.push_back(tensor.cpu().to(float64).to_vector<double>());
  return values;
}

struct Result {
  std::vector<double> losses;
  Values model, optimizer;
  RandomState random;
};

/// Warm-up and cosine schedule, clipping, gradients of two batches added up.
template <class Model>
Result train(Model& model, int steps, bool captures, bool on_host) {
  optim::Adam optimizer(model.parameters(), {.lr = 3e-2});
  optim::SequentialLR schedule(optimizer,
                               {optim::LinearLR(optimizer, {.start_factor = 0.1, .total_iters = 20}),
                                optim::CosineAnnealingLR(optimizer, {.t_max = 180})},
                               {20});
  const Device device = model.device();
  const auto plain = [&](const Tensor& x, const Tensor& y) {
    Tensor total = zeros({}, {.device = device});
    for (int half = 0; half < 2; ++half) {
      const Tensor loss = cross_entropy(model(x[half]), y[half].to(device));
      (loss / 2).backward();
      total = total + loss.detach();
    }
    nn::utils::clip_grad_norm_(model.parameters(), 0.5);
    optimizer.step();
    optimizer.zero_grad();
    return total;
  };
  auto step = capture(plain);
  Result result;
  for (int i = 0; i < steps; ++i) {
    Tensor x = randn({2, 13, 6}), y = randint(0, 3, {2, 13});
    if (!on_host) x = x.to(device), y = y.to(device);
    const Tensor loss = captures ? step(x, y) : plain(x, y);
    result.losses.push_back(loss.item());
    schedule.step();
  }
  if (captures && device.is_cuda()) {
    CHECK(step.counters().reason == "");
    CHECK(step.counters().replayed == steps - 3);
  }
  result.model = values_of(model.state_dict());
  result.optimizer = values_of(optimizer.state_dict());
  result.random = random_state();
  return result;
}

void check_same_bits(int gpus, int replicas, int wanted) {
  const int steps = steps_of(wanted);
  CAPTURE(gpus);
  CAPTURE(replicas);
  Result expected;
  for (const bool captures : {false, true})
    for (const bool on_host : {false, true}) {
      if (!captures && on_host) continue;
      CAPTURE(on_host);
      on_machine(gpus, [&](const std::vector<Device>& devices) {
        manual_seed(4);
        DataParallel model{Net{}, {.devices = devices, .replicas = replicas}};
        const Result got = train(model, steps, captures, on_host);
        if (!captures) {
          expected = got;
          return;
        }
        CHECK(got.losses == expected.losses);
        CHECK(got.model == expected.model);
        CHECK(got.optimizer == expected.optimizer);
        CHECK(got.random == expected.random);
      });
    }
}

}  // namespace

TEST_CASE("capture: 200 steps on 1, 2 and 4 devices give the same bits as plain ones") {
  for (const int gpus : {1, 2, 4}) check_same_bits(gpus, 0, 200);
}

TEST_CASE("capture: replicas that share devices give the same bits as plain steps") {
  check_same_bits(1, 4, 50);
  check_same_bits(2, 4, 50);
  check_same_bits(3, 4, 20);
}

}  // namespace miniparallel
