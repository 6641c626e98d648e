#include <miniparallel/miniparallel.h>

#include "tests/docs/captured.h"

#include <doctest/doctest.h>

#include <cmath>
#include <iostream>

// The code of docs/your-own-op.md.

using namespace miniparallel;

namespace docs_op {
#include "snippets/your-own-op/composed.inc"
#include "snippets/your-own-op/function.inc"
#include "snippets/your-own-op/loops.inc"
}  // namespace docs_op
using docs_op::Cube;

TEST_CASE("docs/your-own-op: composed") {
  CHECK(docs_op::softplus(tensor({0.0, 100.0})).to_vector<float>() ==
        std::vector<float>{std::log(2.0f), 100});
}

TEST_CASE("docs/your-own-op: function") {
  const testing::Captured captured(std::cout);
#include "snippets/your-own-op/apply.inc"
  CHECK(captured.text() == "tensor([12.])");
#include "snippets/your-own-op/check.inc"
  CHECK(wrong == "");
}

TEST_CASE("docs/your-own-op: loops") {
  CHECK(docs_op::histogram(tensor({0, 2, 2}), 4).to_vector<int>() == std::vector<int>{1, 0, 2, 0});
  CHECK_THROWS_WITH_AS(docs_op::histogram(tensor({4}), 4), "histogram: 4 is out of range", Error);
}
