#include <miniparallel/miniparallel.h>

#include "tests/support/error_of.h"
#include "tests/support/golden.h"

#include <doctest/doctest.h>

#include <cmath>
#include <type_traits>
#include <utility>

// What the table of ops does not show of x[...] and of losses made of places.

namespace miniparallel {
namespace {

using testing::error_of;
using testing::identical;

TEST_CASE("index: numbers and ranges give views, tensors copies") {
  Tensor x = arange(12).view({3, 4});
  x[{1, Range{1, 3}}].fill_(0);
  CHECK(identical(x[1], tensor({4, 0, 0, 7})));
  x[tensor({0, 2})].fill_(9);  // a copy
  CHECK(x[0][0].item() == 0);
  x[{Range{.step = 2}, -1}].copy_(tensor({-1, -2}));
  CHECK(identical(x.select(1, 3), tensor({-1, 7, -2})));
  static_assert(!std::is_assignable_v<decltype(std::declval<Tensor&>()[0]), Tensor>);
}

TEST_CASE("index_put_: values convert and broadcast, the last of equal places counts") {
  Tensor x = zeros({2, 3}, int64);
  x.index_put_({Range{}, tensor({0, -1})}, 1.9);
  CHECK(identical(x, tensor({{1, 0, 1}, {1, 0, 1}})));
  x.index_put_({tensor({0, 0, 0}), 1}, tensor({5, 6, 7}));
  CHECK(x[0][1].item() == 7);
  x.index_put_({x > 5}, 2);
  CHECK(identical(x, tensor({{1, 2, 1}, {1, 0, 1}})));
  x.index_put_({}, 3);
  CHECK(identical(x, full({2, 3}, 3, int64)));
  Tensor sums = zeros({3});
  sums.index_put_({tensor({1, 1, 2})}, tensor({1.0, 2.0, 4.0}), true);
  CHECK(identical(sums, tensor({0.0, 3.0, 4.0})));
}

TEST_CASE("index: gradients reach what was read and what was written") {
  const Tensor x = arange(6, {.dtype = float64}).view({2, 3}).requires_grad_();
  Tensor y = x * 2;
  const Tensor value = scalar_tensor(5, {.dtype = float64}).requires_grad_();
  y.index_put_({1, Range{0, 2}}, value);
  sum(y[{Range{}, tensor({0, 0})}]).backward();
  CHECK(identical(x.grad(), tensor({{4.0, 0.0, 0.0}, {0.0, 0.0, 0.0}}, {.dtype = float64})));
  CHECK(value.grad().item() == 2);
}

TEST_CASE("index: what does not fit is told") {
  Tensor x = zeros({2, 3});
  CHECK(error_of([&] { x[{0, 1, 2}]; }) == "index: got indices for 3 dimensions of [2, 3], which has 2");
  CHECK(error_of([&] { x[{Ellipsis{}, Ellipsis{}}]; }) ==
        "index: got 2 ellipses; one stands for all dimensions that are left");
  CHECK(error_of([&] { x[tensor({true, false, true})]; }) ==
        "index: a mask of [3] at dimension 0 of [2, 3]; its sizes must be those of the tensor");
  CHECK(error_of([&] { x[tensor({0.0})]; }) ==
        "index: indices have dtype float32; convert them to int64 or int32");
  CHECK(error_of([&] { x[tensor({2})]; }) ==
        "index: index 2 at position 0 is out of range; it must be at least 0 and below 2");
  CHECK(error_of([&] { x[{tensor({0, 1}), tensor({0, 1, 2})}]; }) ==
        "index: shapes [2] and [3] do not broadcast: sizes 2 and 3 at dimension -1; they must be equal or "
        "one of them 1");
  CHECK(error_of([&] { x.index_put_({0}, zeros({2})); }) ==
        "index_put_: shapes [3] and [2] do not broadcast: sizes 3 and 2 at dimension -1; they must be equal "
        "or one of them 1");
  CHECK(error_of([&] { x.index_put_({tensor({0})}, zeros({5, 1, 3})); }) ==
        "index_put_: values of [5, 1, 3] do not broadcast to [1, 3], the shape of what is indexed");
}

TEST_CASE("bits: bool stays bool, shifts by all bits and more leave the sign, other dtypes are told") {
  CHECK((tensor({true}) & tensor({3})).dtype() == int64);
  CHECK((tensor({6}, {.dtype = uint8}) & 3).dtype() == uint8);
  CHECK(identical(bitwise_right_shift(tensor({-5, 5, -5, 5}), tensor({64, 64, -1, 1})),
                  tensor({-1, 0, -1, 2})));
  CHECK(identical(bitwise_left_shift(tensor({-5, 5, 5}), tensor({64, -1, 2})), tensor({0, 0, 20})));
  CHECK(error_of([] { bitwise_and(tensor({1.0}), tensor({1})); }) ==
        "bitwise_and: got float32 and int64; it takes integers, and bool unless it shifts");
  CHECK(error_of([] { bitwise_left_shift(tensor({true}), tensor({true})); }) ==
        "bitwise_left_shift: got bool and bool; it takes integers, and bool unless it shifts");
  CHECK(error_of([] { tensor({1}) & 1.5; }) == "operator&: got int64 and the number 1.5; it takes integers");
}

TEST_CASE("exponential_: mean and variance, and never infinite") {
  manual_seed(3);
  const Tensor x = zeros({100'000}).exponential_(4);
  CHECK(x.mean().item() == doctest::Approx(0.25).epsilon(0.02));
  CHECK(x.var().item() == doctest::Approx(1 / 16.0).epsilon(0.05));
  CHECK(x.min().item() >= 0);
  CHECK(isfinite(x).all().item() == 1);
  CHECK(error_of([] { zeros({2}).exponential_(0); }) ==
        "exponential_: lambda is 0; it must be above 0 and finite");
}

TEST_CASE("ctc_loss: what does not fit is told; no way is infinite unless it is to be 0") {
  const Tensor x = log_softmax(randn({4, 2, 3}), 2), targets = tensor({{1, 2}, {2, 2}});
  const Tensor losses = ctc_loss(x, targets, {1, 4}, {2, 2}, {.reduction = Reduction::none});
  CHECK(std::isinf(losses[0].item()));
  CHECK(std::isfinite(losses[1].item()));
  CHECK(
      ctc_loss(x, targets, {1, 4}, {2, 2}, {.zero_infinity = true, .reduction = Reduction::none})[0].item() ==
      0);
  CHECK(error_of([&] { ctc_loss(x, targets, {4}, {2, 2}); }) ==
        "ctc_loss: got 1 input_lengths and 2 target_lengths for a batch of 2; each item needs one of both");
  CHECK(error_of([&] { ctc_loss(x, targets, {5, 4}, {2, 2}); }) ==
        "ctc_loss: input_lengths has 5; it must be from 0 to the number of steps, 4");
  CHECK(error_of([&] { ctc_loss(x, targets, {4, 4}, {3, 2}); }) ==
        "ctc_loss: targets have shape [2, 2]; they must be (n, length) for a batch of 2 and lengths up to 3, "
        "or "
        "joined in one dimension");
  CHECK(error_of([&] { ctc_loss(x, targets.flatten(), {4, 4}, {1, 2}); }) ==
        "ctc_loss: got 4 targets, target_lengths add up to 3; they must agree");
  CHECK(error_of([&] { ctc_loss(x, targets, {4, 4}, {2, 2}, {.blank = 3}); }) ==
        "ctc_loss: blank is 3; it must be one of the 3 classes");
}

}  // namespace
}  // namespace miniparallel
