#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

#include <utility>
#include <vector>

// The C++ of docs/capture.md. On the CPU a step runs as it is.

using namespace miniparallel;

TEST_CASE("docs: a captured step") {
  nn::Linear model{4, 3};
  const Device device = Device::cpu();
  optim::SGD optimizer(parameters(model), {.lr = 0.1});
  optim::ExponentialLR scheduler(optimizer, {.gamma = 0.5});
  std::vector<std::pair<Tensor, Tensor>> batches(5, {randn({6, 4}), randint(0, 3, {6})});
#include "snippets/capture/capture.inc"
  CHECK(optimizer.lr() == 0.1 / 32);
  CHECK(step.counters().plain == 5);
  CHECK(step.counters().replayed == 0);
}
