#include <miniparallel/miniparallel.h>

#include "tests/support/error_of.h"

#include <doctest/doctest.h>

#include <cmath>

// Where ops that are made of others could go wrong: at infinities, at NaN, at 0, for nothing, and in what
// their errors say.

namespace miniparallel::testing {
namespace {

const double inf = HUGE_VAL, nan = std::nan("");

bool same(const Tensor& got, const Tensor& expected) {
  return got.shape() == expected.shape() && equal(isnan(got), isnan(expected)) &&
         allclose(got.nan_to_num(), expected.to(got.dtype()).nan_to_num(), 1e-6, 0);
}

TEST_CASE("inverse hyperbolic functions: small and large numbers, the ends, slope 1 at 0") {
  const double large = 69.77069997338238;  // of 1e30
  CHECK(same(asinh(tensor({0.0, 1e-9, -1e-9, 1e30, -1e30, -inf, nan}, float64)),
             tensor({0.0, 1e-9, -1e-9, large, -large, -inf, nan}, float64)));
  CHECK(
      same(acosh(tensor({1.0, 0.5, 1e30, inf, nan}, float64)), tensor({0.0, nan, large, inf, nan}, float64)));
  CHECK(same(atanh(tensor({1.0, -1.0, 2.0, 1e-9}, float64)), tensor({inf, -inf, nan, 1e-9}, float64)));
  for (auto* const function : {&miniparallel::asinh, &miniparallel::atanh}) {
    const Tensor x = zeros({1}, {.requires_grad = true});
    sum((*function)(x)).backward();
    CHECK(x.grad().item() == 1);
  }
}

TEST_CASE("shrinking activations: NaN and infinity pass") {
  CHECK(same(hardshrink(tensor({nan, inf, -inf, 0.2})), tensor({nan, inf, -inf, 0.0})));
  CHECK(same(softshrink(tensor({nan, inf, -inf, 0.2})), tensor({nan, inf, -inf, 0.0})));
  CHECK(same(threshold(tensor({nan, inf, -inf, 0.2}), 1, 5), tensor({nan, inf, 5.0, 5.0})));
  CHECK(error_of([] { (void)softshrink(ones(2), -1); }) == "softshrink: lambda is -1; it must be at least 0");
}

TEST_CASE("logaddexp, hypot, signbit: infinities, NaN, the zero below 0") {
  CHECK(same(logaddexp(tensor({inf, -inf, inf, nan}), tensor({inf, -inf, -inf, 1.0})),
             tensor({inf, -inf, inf, nan})));
  CHECK(same(hypot(tensor({inf, 3e38, 0.0, nan, nan}), tensor({1.0, 1e38, 0.0, inf, 1.0})),
             tensor({inf, 3.1622777e38, 0.0, inf, nan})));
  CHECK(equal(signbit(tensor({-0.0, 0.0, -inf, 1.0})), tensor({true, false, true, false})));
  CHECK(equal(1 / copysign(tensor({0.0, 0.0}), tensor({-0.0, 0.0})), tensor({-inf, inf})));
  CHECK(equal(nan_to_num(tensor({nan, inf, -inf}), 1, 2), tensor({1.0, 2.0, -3.4028234663852886e38})));
}

TEST_CASE("order: of even numbers the lower median, of equal elements the first") {
  CHECK(median(tensor({3.0, 1.0, 2.0, 4.0})).item() == 2);
  CHECK(median(tensor({{1.0, 1.0, 0.0}}), 1).indices.item<int>() == 0);
  CHECK(std::isnan(median(tensor({3.0, nan, 1.0})).item()));
  CHECK(median(tensor({{3.0, nan, 1.0, nan}}), 1).indices.item<int>() == 1);
  CHECK(same(quantile(tensor({{3.0, nan, 1.0}, {3.0, 2.0, 1.0}}), 0.5, 1), tensor({nan, 2.0})));
  CHECK(kthvalue(tensor({5}, {}), 1).values.item<int>() == 5);
  const auto [values, inverse, counts] = unique(tensor({{3, 1}, {3, 2}}));
  CHECK(equal(values, tensor({1, 2, 3})));
  CHECK(equal(inverse, tensor({{2, 0}, {2, 1}})));
  CHECK(equal(counts, tensor({1, 1, 2})));
  CHECK(error_of([] { (void)median(zeros({0})); }) ==
        "median: nothing to choose from in a tensor of shape [0]; the dimension must not be empty");
  CHECK(error_of([] { (void)kthvalue(zeros({3}), 4); }) ==
        "kthvalue: k is 4 for dimension -1 of [3]; it must be at least 1 and at most its size");
}

TEST_CASE("errors name what was called, not what it is made of") {
  const Tensor x = zeros({2, 3});
  CHECK(error_of([&] { (void)max(zeros({0})); }).starts_with("max: nothing to compare"));
  CHECK(error_of([&] { (void)min(zeros({0})); }).starts_with("min: nothing to compare"));
  CHECK(error_of([&] { (void)x.broadcast_to({4}); }).starts_with("broadcast_to: [2, 3]"));
  CHECK(error_of([&] { (void)x.expand_as(zeros({4})); }).starts_with("expand_as: [2, 3]"));
  CHECK(error_of([&] { (void)x.view_as(zeros({4})); }).starts_with("view_as: [2, 3]"));
  CHECK(error_of([] { zeros({2}, {.requires_grad = true}).zero_(); }).starts_with("zero_: a leaf"));
  CHECK(error_of([&] { (void)masked_scatter(x, x == 0, ones(5)); }) ==
        "masked_scatter: the mask is true for 6 elements, the source has 5; it must have as many");
  CHECK(
      error_of([] { (void)conv3d(zeros({1, 2, 3, 3}), zeros({2, 2, 1, 1, 1})); }) ==
      "conv3d: input has shape [1, 2, 3, 3]; it must be (n, channels, depth, height, width), for one volume "
      "unsqueeze(0)");
  CHECK(
      error_of([] { (void)conv_transpose3d(zeros({1, 2, 3, 3, 3}), zeros({3, 2, 1, 1, 1})); }) ==
      "conv_transpose3d: weight has shape [3, 2, 1, 1, 1] for an input of shape [1, 2, 3, 3, 3]; it must be "
      "(in, out / groups, kernel depth, height, width)");
  CHECK(error_of([] {
          (void)conv_transpose3d(zeros({1, 2, 3, 3, 3}), zeros({2, 2, 1, 1, 1}), {}, {.output_padding = 1});
        })
            .starts_with(
                "conv_transpose3d: got stride 1 x 1 x 1, dilation 1 x 1 x 1, padding 0 x 0 x 0 and output"));
  CHECK(error_of([] { (void)adaptive_max_pool2d(zeros({2, 3, 3}), 2); }) ==
        "adaptive_max_pool2d: input has shape [2, 3, 3]; it must be (n, channels, height, width), so "
        "unsqueeze(0)");
  CHECK(error_of([] {
          (void)adaptive_max_pool1d(zeros({2, 3, 0}), 2);
        }).starts_with("adaptive_max_pool1d: input of shape [2, 3, 0] has nothing to choose from"));
  CHECK(error_of([] { (void)embedding_bag(zeros({3, 2}), tensor({0, 1, 2}), tensor({1, 2})); }) ==
        "embedding_bag: offset 0 is 1 of 3 indices; offsets begin at 0, and none is below the one before");
}

TEST_CASE("grid_sample: points that are not numbers, or far away") {
  const Tensor image = ones({1, 1, 3, 3});
  const auto at = [&](double point, Outside outside) {
    return grid_sample(image, full({1, 1, 1, 2}, point), {.padding_mode = outside}).item();
  };
  CHECK(at(nan, Outside::zeros) == 0);
  CHECK(at(1e30, Outside::zeros) == 0);
  CHECK(at(inf, Outside::border) == 1);
  CHECK(at(-1e30, Outside::reflection) == 1);
}

TEST_CASE("volumes, bags, windows: of no examples, and of nothing") {
  CHECK(conv3d(zeros({0, 2, 3, 3, 3}), zeros({4, 2, 2, 2, 2})).shape() == Shape{0, 4, 2, 2, 2});
  CHECK(conv_transpose3d(zeros({0, 2, 3, 3, 3}), zeros({2, 4, 2, 2, 2})).shape() == Shape{0, 4, 4, 4, 4});
  CHECK(adaptive_max_pool2d(zeros({0, 2, 5, 5}), {3, 2}).shape() == Shape{0, 2, 3, 2});
  CHECK(max_pool3d(zeros({0, 2, 4, 4, 4}), 2).shape() == Shape{0, 2, 2, 2, 2});
  CHECK(grid_sample(zeros({0, 2, 3, 3}), zeros({0, 4, 4, 2})).shape() == Shape{0, 2, 4, 4});
  CHECK(equal(embedding_bag(ones({3, 2}), zeros({0}, int64), zeros({2}, int64)), zeros({2, 2})));
  CHECK(equal(embedding_bag(ones({3, 2}), zeros({2, 0}, int64), {}, {.mode = BagMode::max}), zeros({2, 2})));
  CHECK(fold(zeros({0, 4, 9}), 4, 2).shape() == Shape{0, 1, 4, 4});
  CHECK(unfold(zeros({0, 1, 4, 4}), 2).shape() == Shape{0, 4, 9});
  CHECK(pdist(zeros({1, 3})).shape() == Shape{0});
  CHECK(unique(zeros({0})).values.shape() == Shape{0});
  CHECK(block_diag({tensor(1.0)}).shape() == Shape{1, 1});
}

}  // namespace
}  // namespace miniparallel::testing
