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
