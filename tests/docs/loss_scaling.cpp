#include <miniparallel/miniparallel.h>

#include "tests/docs/captured.h"

#include <doctest/doctest.h>

#include <iostream>
#include <utility>
#include <vector>

// The C++ of docs/loss-scaling.md.

using namespace miniparallel;

TEST_CASE("docs/loss-scaling") {
  nn::Linear model{4, 3};
  optim::SGD optimizer(parameters(model), {.lr = 0.1});
  const std::vector<std::pair<Tensor, Tensor>> batches(5, {randn({6, 4}), randint(0, 3, {6})});
#include "snippets/loss-scaling/step.inc"
  const Tensor loss = mean(square(model(batches[0].first)));
#include "snippets/loss-scaling/clip.inc"
  const testing::Captured captured(std::cout);
#include "snippets/loss-scaling/counters.inc"
  CHECK(captured.text() == "65536 0\n");
#include "snippets/loss-scaling/checkpoint.inc"
  CHECK(training.parts().size() == 3);
}
