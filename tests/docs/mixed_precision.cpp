#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

// The code of docs/mixed-precision.md.

using namespace miniparallel;

TEST_CASE("docs/mixed-precision: bfloat16") {
#include "snippets/mixed-precision/half.inc"
  CHECK(y.dtype() == bfloat16);
  CHECK(both.dtype() == float32);
}

TEST_CASE("docs/mixed-precision: autocast") {
  const Tensor images = rand({4, 784}), labels = randint(0, 10, {4});
#include "snippets/mixed-precision/autocast.inc"
  CHECK(loss.dtype() == float32);
  for (const Tensor& parameter : parameters(model)) CHECK(parameter.grad().dtype() == float32);
}

TEST_CASE("docs/mixed-precision: stochastic rounding") {
  nn::Linear model{4, 3};
#include "snippets/mixed-precision/stochastic.inc"
  sum(model(ones({2, 4}, {.dtype = bfloat16}))).backward();
  optimizer.step();
  CHECK(optimizer.state_dict().contains("rounding_seed"));
}
