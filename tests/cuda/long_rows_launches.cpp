#include <miniparallel/miniparallel.h>
#include <miniparallel/simulator_graphs.h>

#include "simulated.h"

#include <functional>

// What rows that blocks share ask of the GPU: a launch more per reduction, no more memory, and no waiting.

namespace miniparallel::testing {
namespace {

using Op = std::function<Tensor(const Tensor&)>;

struct Launches {
  std::int64_t forward, backward;
  friend bool operator==(const Launches&, const Launches&) = default;
};

Launches launches_of(const Op& op, const Shape& shape) {
  const Simulated machine;
  const Device gpu = Device::cuda(0);
  manual_seed(1);
  Tensor x = randn(shape, {.device = gpu}).requires_grad_();
  Launches launches{};
  for (int step = 0; step < 2; ++step) {
    const simulator::Counters before = simulator::counters();
    const Tensor y = op(x);
    const simulator::Counters forward = simulator::counters();
    const Tensor g = ones(y.shape(), {.device = gpu});
    const simulator::Counters between = simulator::counters();
    y.backward(g);
    const simulator::Counters after = simulator::counters();
    launches = {(forward - before).kernels, (after - between).kernels};
    if (step == 1) {
      CHECK((after - before).allocations == 0);
      CHECK((after - before).host_synchronizations == 0);
    }
    synchronize(gpu);
    x.set_grad({});
  }
  return launches;
}

TEST_CASE("rows that blocks share take a launch more per reduction") {
  const Op softmax_of_last = [](const Tensor& x) { return softmax(x, 1); };
  CHECK(launches_of(softmax_of_last, {100, 1000}) == Launches{1, 1});
  CHECK(launches_of(softmax_of_last, {1, 20'000}) == Launches{2, 2});
  const Op norm = [](const Tensor& x) { return layer_norm(x, {x.size(1)}); };
  CHECK(launches_of(norm, {100, 1000}) == Launches{1, 1});
  CHECK(launches_of(norm, {1, 20'000}) == Launches{2, 2});
}

TEST_CASE("cross_entropy of classes that blocks share takes a launch more, its gradient none") {
  const Tensor targets = zeros({2}, {.dtype = int64});
  const auto loss = [&](const Tensor& x) { return cross_entropy(x, targets.to(x.device())); };
  CHECK(launches_of(loss, {2, 1000}) == Launches{2, 1});
  CHECK(launches_of(loss, {2, 20'000}) == Launches{3, 1});
  const auto of_log_probabilities = [&](const Tensor& x) { return nll_loss(x, targets.to(x.device())); };
  CHECK(launches_of(of_log_probabilities, {2, 20'000}) == Launches{2, 1});
}

TEST_CASE("rows that blocks share are captured") {
  const Simulated machine;
  const Device gpu = Device::cuda(0);
  manual_seed(2);
  const Tensor targets = tensor({19'999, 3}).to(gpu);
  const auto gradient = [&](const Tensor& x) {
    const Tensor leaf = x.detach().requires_grad_();
    const Tensor y = layer_norm(leaf, {leaf.size(1)});
    (cross_entropy(softmax(y, 1), targets) + cross_entropy(y, targets)).backward();
    return leaf.grad();
  };
  auto captured = capture(gradient);
  for (int call = 0; call < 6; ++call) {
    const Tensor x = randn({2, 20'000}).to(gpu);
    const std::vector<double> expected = gradient(x).to_vector<double>();
    const simulator::Counters before = simulator::counters();
    const simulator::GraphCounters graphs = simulator::graph_counters();
    const Tensor got = captured(x);
    const std::int64_t kernels = (simulator::counters() - before).kernels;
    const std::int64_t launches = (simulator::graph_counters() - graphs).launches;
    CHECK(got.to_vector<double>() == expected);
    if (call < 4) continue;
    CHECK(kernels == 0);
    CHECK(launches == 1);
  }
}

}  // namespace
}  // namespace miniparallel::testing
