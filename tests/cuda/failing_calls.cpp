#include <miniparallel/cuda.h>
#include <miniparallel/miniparallel.h>

#include "messages.h"
#include "simulated.h"

#include <memory>
#include <vector>

// Every call of CUDA that a training makes fails in turn.

namespace miniparallel {
namespace {

using testing::Messages;
using testing::Simulated;

/// The losses of a net on two GPUs: products with a bias,
/// convolutions, reductions, copies of every direction.
std::vector<float> losses(std::shared_ptr<void>&) {
  manual_seed(4);
  const Device first = Device::cuda(0), second = Device::cuda(1);
  nn::Conv2d conv(1, 2, 3);
  nn::Linear linear(8, 5);
  to(conv, first);
  to(linear, second);
  std::vector<Tensor> all = parameters(conv);
  for (const Tensor& parameter : parameters(linear)) all.push_back(parameter);
  optim::SGD optimizer(all, {.lr = 0.1});
  std::vector<float> found;
  for (int step = 0; step < 2; ++step) {
    const Tensor features = relu(conv(randn({3, 1, 4, 4}).to(first))).flatten(1);
    const Tensor loss = cross_entropy(linear(features.to(second)), randint(0, 5, {3}).to(second));
    loss.backward();
    optimizer.step();
    optimizer.zero_grad();
    found.push_back(loss.item<float>());
  }
  return found;
}

auto step_of(std::shared_ptr<nn::Linear> linear, std::shared_ptr<optim::SGD> optimizer) {
  return capture([=](const Tensor& x, const Tensor& y) {
    const Device first = Device::cuda(0), second = Device::cuda(1);
    const Tensor loss = cross_entropy((*linear)(x.to(first)), y.to(first));
    loss.backward();
    optimizer->step();
    optimizer->zero_grad();
    return loss.detach().to(second) + 1;
  });
}

/// The losses of steps on one GPU that become a graph: two plain calls, a third that is recorded, a fourth.
/// Another GPU takes part. What gives memory back is left to the end of `kept`.
std::vector<float> losses_of_graph(std::shared_ptr<void>& kept) {
  manual_seed(5);
  const auto linear = std::make_shared<nn::Linear>(4, 3);
  to(*linear, Device::cuda(0));
  const auto optimizer = std::make_shared<optim::SGD>(parameters(*linear), optim::SGDOptions{.lr = 0.1});
  const auto made = std::make_shared<decltype(step_of(linear, optimizer))>(step_of(linear, optimizer));
  kept = made;
  auto& step = *made;
  std::vector<float> found;
  for (int i = 0; i < 4; ++i) found.push_back(step(randn({3, 4}), randint(0, 3, {3})).item<float>());
  return found;
}

/// Trains while the `nth` call fails, and once more; false when there are fewer calls.
bool survives(int nth, bool peers, std::vector<float> (&losses)(std::shared_ptr<void>&),
              const std::vector<float>& expected) {
  CAPTURE(nth);
  simulator::Machine two = simulator::machine_with(2);
  if (!peers) two.peers = simulator::Peers::none;
  Simulated machine(two);
  std::shared_ptr<void> kept;
  simulator::fail_call("", nth, cudaErrorUnknown);
  try {
    const std::vector<float> found = losses(kept);  // of some calls the failure has another way out
    CHECK(found == expected);
  } catch (const Error& error) {
    CAPTURE(error.what());
    const std::string text = error.what();
    CHECK((text.find("cudaErrorUnknown") != std::string::npos || text.find("cublas") != std::string::npos));
  }
  if (simulator::faults_to_come() > 0) {  // it may still hit what gives memory back
    machine.expect_failure();
    return false;
  }
  if (cuda_device_count() == 0) cuda::shut_down();  // the discovery has failed
  kept = nullptr;
  CHECK(losses(kept) == expected);
  return true;
}

TEST_CASE("whichever CUDA call fails once, an error says so, and the next training is as ever") {
  const Messages silent;
  for (const bool peers : {true, false}) {
    std::vector<float> expected;
    {
      const Simulated machine(2);
      std::shared_ptr<void> kept;
      expected = losses(kept);
    }
    const int step = simulator::machine_with(1).checking ? 7 : 1;  // the checker takes its time
    int nth = 1;
    while (survives(nth, peers, losses, expected)) nth += step;
    CHECK(nth > 200);
  }
}

TEST_CASE(
    "whichever CUDA call of a captured step fails once, an error says so, and the next one is as ever") {
  const Messages silent;
  std::vector<float> expected;
  {
    const Simulated machine(2);
    std::shared_ptr<void> kept;
    expected = losses_of_graph(kept);
  }
  const int step = simulator::machine_with(1).checking ? 7 : 1;
  int nth = 1;
  while (survives(nth, true, losses_of_graph, expected)) nth += step;
  CHECK(nth > 100);
}

}  // namespace
}  // namespace miniparallel
