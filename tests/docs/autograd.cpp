#include <miniparallel/miniparallel.h>

#include "tests/docs/captured.h"

#include <doctest/doctest.h>

#include <iostream>
#include <sstream>

// The code of docs/autograd.md.

using namespace miniparallel;

TEST_CASE("docs/autograd: backward") {
  const testing::Captured captured(std::cout);
#include "snippets/autograd/backward.inc"
  CHECK(captured.text() == "tensor([2., 4., 6.])");
}

TEST_CASE("docs/autograd: no grad") {
#include "snippets/autograd/no_grad.inc"
  CHECK(!constant.requires_grad());
  CHECK(equal(constant, weight.detach()));
}

TEST_CASE("docs/autograd: second derivative") {
#include "snippets/autograd/second.inc"
  CHECK(slope.item() == doctest::Approx(12));
  CHECK(curvature.item() == doctest::Approx(12));
}

TEST_CASE("docs/autograd: a penalty on the gradient") {
#include "snippets/autograd/penalty.inc"
  CHECK(weight.grad().defined());
}

namespace {

struct Block {
  nn::Linear first{64, 64}, second{64, 64};
  Tensor operator()(const Tensor& x) { return tanh(second(tanh(first(x)))); }
};
#include "snippets/autograd/checkpoint.inc"

}  // namespace

TEST_CASE("docs/autograd: less memory") {
  Deep model;
  const Tensor x = randn({256, 64});
  reset_peak_memory();
  const std::int64_t before = memory_stats().used;
  Tensor y = model(x);
  CHECK(memory_stats().used - before < 14 * 256 * 64 * 4);
  sum(y).backward();
  CHECK(model.blocks[0].first.weight.grad().defined());
}

TEST_CASE("docs/autograd: hooks") {
  const testing::Captured captured(std::cout);
#include "snippets/autograd/hooks.inc"
  CHECK(equal(middle.grad(), ones({3})));
  CHECK(allclose(x.grad(), 2 * middle.detach()));
  CHECK(captured.text().find("exp") != std::string::npos);
}

TEST_CASE("docs/autograd: the message is the one on the page") {
  const auto run = [] {
#include "snippets/autograd/version.inc"
  };
  CHECK_THROWS_WITH_AS(
      run(),
      "backward: a tensor of shape [2] that mul saved was written in place since (version 1, "
      "saved at 0); write to a clone instead",
      Error);
}

TEST_CASE("docs/autograd: check") {
#include "snippets/autograd/check.inc"
  CHECK(difference == "");
}
