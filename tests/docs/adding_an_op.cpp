#include "engine/ops/common.h"
#include "tests/support/derivatives.h"

#include <doctest/doctest.h>

// The code of docs/adding-an-op.md.

namespace miniparallel {
namespace {

#include "snippets/adding-an-op/composed.inc"
#include "snippets/adding-an-op/structured.inc"

TEST_CASE("docs/adding-an-op: composed") {
  testing::check_derivatives([](const auto& x) { return huber(x[0], x[1], 0.7); }, {{3, 4}, {3, 4}});
  CHECK(huber(tensor({0.5, 3.0}), zeros({2}), 1).item() == doctest::Approx((0.125 + 2.5) / 2));
  CHECK_THROWS_WITH_AS(huber(ones({1}), ones({1}), 0), "huber: got delta 0; it must be positive", Error);
}

TEST_CASE("docs/adding-an-op: structured") {
  testing::check_derivatives([](const auto& x) { return softmax_of_rows(x[0]); }, {{3, 4}});
  const Tensor x = randn({5, 7});
  CHECK(equal(softmax_of_rows(x), softmax(x, 1)));
}

}  // namespace
}  // namespace miniparallel
