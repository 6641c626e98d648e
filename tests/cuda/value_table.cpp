#include <miniparallel/miniparallel.h>

#include "gpus.h"
#include "tests/value_cases.h"

#include <cmath>

namespace miniparallel::testing {
namespace {

TEST_CASE("the table of values at the edges") {
  const Gpus machine;
  check_value_cases(Device::cuda(0));
}

TEST_CASE("a probability that is NaN, which the CPU refuses, has NaN as its gradient") {
  const Gpus machine;
  const Tensor x = full({1}, HUGE_VAL, {.device = Device::cuda(0)}), nan = (x - x).requires_grad_();
  binary_cross_entropy(nan, ones_like(x)).backward();
  CHECK(isnan(nan.grad()).item<bool>());
}

}  // namespace
}  // namespace miniparallel::testing
