#include <miniparallel/miniparallel.h>

#include <cmath>

#include "simulated.h"

namespace miniparallel {
namespace {

using testing::Simulated;

struct Mlp {
  nn::Linear first{20, 32};
  nn::Dropout drop{0.25};
  nn::Linear second{32, 5};

  Tensor operator()(const Tensor& x) { return second(drop(relu(first(x)))); }
  static Tensor inputs() { return randn({48, 20}); }
  static Tensor targets() { return randint(0, 5, {48}); }
  using Optimizer = optim::Adam;
};

struct Cnn {
  nn::Conv2d conv1{1, 8, 3}, conv2{8, 40, 3};
  nn::Dropout drop1{0.25}, drop2{0.5};
  nn::Linear fc1{640, 32}, fc2{32, 5};

  Tensor operator()(Tensor x) {
    x = max_pool2d(relu(conv2(relu(conv1(x)))), 2);
    return fc2(drop2(relu(fc1(drop1(x).flatten(1)))));
  }
  static Tensor inputs() { return randn({16, 1, 12, 12}); }
  static Tensor targets() { return randint(0, 5, {16}); }
  using Optimizer = optim::Adam;
};

/// A language model of one block: of 3 texts of 11 tokens, each token's next.
struct Transformer {
  nn::Embedding tokens{23, 12}, positions{11, 12};
  nn::Buffer places{arange(11)};
  nn::LayerNorm norm1{12};
  nn::MultiheadAttention attention{12, 3};
  nn::LayerNorm norm2{12};
  nn::Linear wide{12, 48}, narrow{48, 12};
  nn::LayerNorm norm3{12};
  nn::Linear logits{12, 23};

  Tensor operator()(const Tensor& x) {
    Tensor h = tokens(x) + positions(places);
    h = h + attention(norm1(h), {.causal = true});
    h = h + narrow(gelu(wide(norm2(h))));
    return logits(norm3(h)).flatten(0, 1);
  }
  static Tensor inputs() { return randint(0, 23, {3, 11}); }
  static Tensor targets() { return randint(0, 23, {33}); }
  using Optimizer = optim::AdamW;
};

/// The losses of `steps` steps on one batch.
template <class Net>
std::vector<double> train(Device device, int steps, double lr,
                          std::vector<simulator::Counters>* per_step = nullptr) {
  manual_seed(3);
  Net net;
  const Tensor x = Net::inputs(), target = Net::targets();
  to(net, device);
  typename Net::Optimizer optimizer(parameters(net), {.lr = lr});
  const Tensor images = x.to(device), labels = target.to(device);
  Tensor losses = zeros({steps}, {.device = device});
  for (int i = 0; i < steps; ++i) {
    const auto before = simulator::counters();
    const Tensor loss = cross_entropy(net(images), labels);
    loss.backward();
    optimizer.step();
    optimizer.zero_grad();
    if (per_step != nullptr) per_step->push_back(simulator::counters() - before);
    losses.select(0, i).copy_(loss.detach());
  }
  return losses.to_vector<double>();
}

template <class Net>
void check_losses(int steps, double lr = 1e-2) {
  for (const std::uint64_t seed : {0u, 5u}) {
    simulator::Machine one = simulator::machine_with(1);
    one.seed = seed;
    const Simulated machine(one);
    const std::vector<double> expected = train<Net>(Device::cpu(), steps, lr),
                              got = train<Net>(Device::cuda(0), steps, lr);
    CHECK(expected.back() < expected.front() * 0.8);
    for (std::size_t i = 0; i < got.size(); ++i)
      CHECK(std::abs(got[i] - expected[i]) <= 1e-5 * std::abs(expected[i]));
  }
}

TEST_CASE("training with dropout follows the CPU's losses") { check_losses<Mlp>(30); }

TEST_CASE("a convolutional network's training follows the CPU's losses") { check_losses<Cnn>(12, 3e-3); }

TEST_CASE("a transformer block's training follows the CPU's losses") { check_losses<Transformer>(10); }

template <class Net>
void check_steady_steps() {
  const Simulated machine;
  std::vector<simulator::Counters> steps;
  train<Net>(Device::cuda(0), 8, 1e-2, &steps);
  for (std::size_t i = 4; i < steps.size(); ++i) {
    CHECK(steps[i].host_synchronizations == 0);
    CHECK(steps[i].allocations == 0);
    CHECK(steps[i].pinned_allocations == 0);
    CHECK(steps[i].bytes_to_host == 0);
    CHECK(steps[i].bytes_to_device == 0);
    CHECK(steps[i].kernels == steps[4].kernels);
  }
  MESSAGE("launches per step: ", steps[4].kernels, " kernels, ", steps[4].library_calls, " library calls");
}

TEST_CASE("a steady step neither waits nor allocates, and issues the same work every time") {
  check_steady_steps<Mlp>();
}

TEST_CASE("a steady step of a convolutional network neither waits nor allocates") {
  check_steady_steps<Cnn>();
}

TEST_CASE("a steady step of a transformer block neither waits nor allocates") {
  check_steady_steps<Transformer>();
}

TEST_CASE("a label out of range is reported at the next synchronisation, and once") {
  const Simulated machine;
  const Device gpu = Device::cuda(0);
  const Tensor logits = zeros({3, 5}, {.device = gpu});
  const Tensor labels = tensor({1, 7, 2}).to(gpu);
  const Tensor loss = cross_entropy(logits, labels);
  CHECK_THROWS_WITH_AS(
      synchronize(gpu),
      "cross_entropy: index 7 is out of range, it must be at least 0 and below 5; found by cuda:0 "
      "after the call had returned",
      Error);
  synchronize(gpu);
  CHECK_THROWS_AS(index_select(logits, 0, tensor({-1}).to(gpu)).to_vector<float>(), Error);
  CHECK(index_select(logits, 0, tensor({2}).to(gpu)).to_vector<float>() == std::vector<float>(5, 0));
}

}  // namespace
}  // namespace miniparallel
