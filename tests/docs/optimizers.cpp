#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

// The code of docs/optimizers.md.

using namespace miniparallel;

namespace {
struct Net {
  nn::Linear body{3, 4}, head{4, 1};
  Tensor operator()(const Tensor& x) { return head(tanh(body(x))); }
};
}  // namespace

TEST_CASE("docs/optimizers: a step, groups, schedules") {
  manual_seed(1);
  Net net;
  const Tensor inputs = randn({32, 3});
  data::DataLoader batches(data::TensorDataset(inputs, inputs.sum(1, true)), {.batch_size = 8});
  const double before = mse_loss(net(inputs), inputs.sum(1, true)).item();
  {
#include "snippets/optimizers/step.inc"
  }
  CHECK(mse_loss(net(inputs), inputs.sum(1, true)).item() < before);
  {
#include "snippets/optimizers/groups.inc"
    CHECK(optimizer.lr(0) == 0);
    CHECK(optimizer.lr(1) == 1e-2);
  }
#include "snippets/optimizers/schedules.inc"
  CHECK(optimizer.lr() < 1e-6);
}
