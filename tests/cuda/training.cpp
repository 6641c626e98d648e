#include <miniparallel/miniparallel.h>

#include "gpus.h"
#include "nets.h"

#include <cmath>

namespace miniparallel {
namespace {

using testing::Cnn;
using testing::Gpus;
using testing::Mlp;
using testing::Transformer;

/// The losses of `steps` steps on one batch.
template <class Net>
std::vector<double> train(Device device, int steps, double lr) {
  manual_seed(3);
  Net net;
  const Tensor x = Net::inputs(), target = Net::targets();
  to(net, device);
  typename Net::Optimizer optimizer(parameters(net), {.lr = lr});
  const Tensor images = x.to(device), labels = target.to(device);
  Tensor losses = zeros({steps}, {.device = device});
  for (int i = 0; i < steps; ++i) {
    const Tensor loss = cross_entropy(net(images), labels);
    loss.backward();
    optimizer.step();
    optimizer.zero_grad();
    losses.select(0, i).copy_(loss.detach());
  }
  return losses.to_vector<double>();
}

template <class Net>
void check_losses(int steps, double lr = 1e-2) {
  for (const std::uint64_t seed : {0u, 5u}) {
    const Gpus machine(1, seed);
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

TEST_CASE("a label out of range is reported at the next synchronisation, and once") {
  const Gpus machine;
  const Device gpu = Device::cuda(0);
  const Tensor logits = zeros({3, 5}, {.device = gpu});
  const Tensor labels = tensor({1, 7, 2}).to(gpu);
  const Tensor loss = cross_entropy(logits, labels);
  CHECK_THROWS_WITH_AS(
      synchronize(gpu),
      "cross_entropy: index 7 is out of range; it must be at least 0 and below 5 (found by cuda:0 "
      "after the call had returned)",
      Error);
  synchronize(gpu);
  (void)cross_entropy(logits, labels);
  CHECK_THROWS_WITH_AS(nonzero(logits), doctest::Contains("cross_entropy: index 7 is out of range"), Error);
  CHECK_THROWS_AS(index_select(logits, 0, tensor({-1}).to(gpu)).to_vector<float>(), Error);
  CHECK(index_select(logits, 0, tensor({2}).to(gpu)).to_vector<float>() == std::vector<float>(5, 0));
}

}  // namespace
}  // namespace miniparallel
