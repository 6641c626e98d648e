#include <miniparallel/miniparallel.h>

#include "tests/support/derivatives.h"

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

TEST_CASE("order: each rank is that of a whole sort, and gets the gradient") {
  manual_seed(8);
  for (const Tensor& x :
       {randint(0, 20, {7, 101}).to(float32), randn({3, 40, 5}).permute({0, 2, 1}), randn({2, 1})}) {
    const Tensor line = x.clone().requires_grad_();
    const std::int64_t n = line.size(-1);
    const ValuesAndIndices sorted = sort(line.detach(), -1);
    for (const std::int64_t k : {std::int64_t{0}, n / 3, n / 2, n - 1}) {
      const ValuesAndIndices found = kthvalue(line, k + 1);
      CHECK(equal(found.values, sorted.values.select(-1, k)));
      CHECK(equal(found.indices, sorted.indices.select(-1, k)));
      const Tensor g = autograd::grad({found.values.sum()}, {line})[0];
      CHECK(equal(g, one_hot(found.indices, n).to(float32)));
    }
    CHECK(equal(median(line, -1).indices, sorted.indices.select(-1, (n - 1) / 2)));
    for (const double q : {0.0, 0.3, 0.5, 1.0}) {
      const double place = q * static_cast<double>(n - 1);
      const auto below = static_cast<std::int64_t>(place);
      const Tensor low = sorted.values.select(-1, below),
                   high = sorted.values.select(-1, std::min(below + 1, n - 1));
      CHECK(allclose(quantile(line, q, -1), lerp(low, high, place - static_cast<double>(below))));
    }
  }
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

TEST_CASE("grid_sample: a pixel that no point is near may hold anything") {
  Tensor image = rand({2, 3, 4, 5});
  image.select(2, 0).fill_(nan);
  const Tensor grid =
      cat({rand({2, 6, 7, 1}) * 3 - 1.5, rand({2, 6, 7, 1}) * 0.5 + 0.4}, 3);  // rows 2 and 3, and outside
  for (const Interpolation mode : {Interpolation::nearest, Interpolation::bilinear}) {
    Tensor seen = image.clone(), points = grid.clone();
    seen.requires_grad_(), points.requires_grad_();
    const Tensor y = grid_sample(seen, points, {.mode = mode});
    CHECK(allclose(y, grid_sample(where(isnan(image), 7, image), grid, {.mode = mode})));
    y.sum().backward();
    CHECK(equal(seen.grad().select(2, 0), zeros({2, 3, 5})));
    if (mode == Interpolation::bilinear) CHECK(points.grad().isfinite().all().item<bool>());
  }
}

TEST_CASE("embedding_bag: the gradient of rows of any width is that of float64, rounded") {
  manual_seed(5);
  struct Case {
    std::int64_t rows, bags, each, width;
  };
  for (const Case& one : {Case{20, 30, 8, 1}, Case{20, 30, 8, 3}, Case{20, 30, 8, 100}, Case{20, 30, 1, 70},
                          Case{20'000, 30, 8, 70}, Case{3, 300'000, 4, 1}}) {
    const Tensor index = randint(0, one.rows, {one.bags, one.each}), g = randn({one.bags, one.width}),
                 factors = randn({one.bags, one.each});
    const auto gradient = [&](DType dtype, BagMode mode, const Tensor& factor = {}) {
      Tensor weight = zeros({one.rows, one.width}, dtype);
      weight.requires_grad_();
      embedding_bag(weight, index, {},
                    {.mode = mode, .per_sample_weights = factor.defined() ? factor.to(dtype) : factor})
          .backward(g.to(dtype));
      return weight.grad().to(float32);
    };
    CAPTURE(one.width);
    CAPTURE(one.bags);
    CHECK(equal(gradient(float32, BagMode::sum), gradient(float64, BagMode::sum)));
    CHECK(allclose(gradient(float32, BagMode::mean), gradient(float64, BagMode::mean), 1e-5, 1e-6));
    CHECK(allclose(gradient(float32, BagMode::sum, factors), gradient(float64, BagMode::sum, factors), 1e-6,
                   1e-7));
  }
}

TEST_CASE("embedding_bag: sums and means of rows gathered one by one, bags and rows of any size") {
  manual_seed(9);
  for (const std::int64_t width : {1, 3, 16, 33, 128, 200})
    for (const std::int64_t padding : {-1, 2}) {
      CAPTURE(width);
      const Tensor weight = randn({9, width}, float64), index = randint(0, 9, {40}),
                   factors = randn({40}, float64);
      const std::vector<std::int64_t> first{0, 0, 1, 3, 3, 8, 20, 40};
      const Tensor offsets = tensor({0, 0, 1, 3, 3, 8, 20, 40});
      const Tensor counts = (index != padding).to(float64);
      const Tensor rows = index_select(weight, 0, index) * counts.unsqueeze(1);
      const Tensor g = randn({std::ssize(first), width}, float64);
      std::vector<Tensor> sums, means, weighted, products;
      for (std::size_t bag = 0; bag < first.size(); ++bag) {
        const std::int64_t n = (bag + 1 < first.size() ? first[bag + 1] : 40) - first[bag];
        const auto part = [&](const Tensor& x) { return x.narrow(0, first[bag], n); };
        sums.push_back(sum(part(rows), {0}));
        means.push_back(sums.back() / clamp_min(sum(part(counts)), 1));
        weighted.push_back(sum(part(rows * factors.unsqueeze(1)), {0}));
        products.push_back(sum(part(rows) * g.select(0, static_cast<int>(bag)), {1}));
      }
      const auto bags = [&](BagMode mode, const Tensor& each = {}) {
        return embedding_bag(weight, index, offsets,
                             {.mode = mode, .padding_idx = padding, .per_sample_weights = each});
      };
      CHECK(allclose(bags(BagMode::sum), stack(sums)));
      CHECK(allclose(bags(BagMode::mean), stack(means)));
      CHECK(allclose(bags(BagMode::sum, factors), stack(weighted)));
      const Tensor learned = factors.clone().requires_grad_();
      bags(BagMode::sum, learned).backward(g);
      CHECK(allclose(learned.grad(), cat(products, 0)));
    }
  const Tensor index = randint(0, 3, {4, 5}).to(int32), offsets = tensor({0, 3, 3, 11});
  const auto options = [](const auto& x) {
    return EmbeddingBagOptions{.mode = BagMode::sum, .padding_idx = 1, .per_sample_weights = x[1]};
  };
  check_derivatives([&](const auto& x) { return embedding_bag(x[0] * x[0], index, {}, options(x)); },
                    {{3, 2}, {4, 5}});
  check_derivatives([&](const auto& x) { return embedding_bag(x[0], index.flatten(), offsets, options(x)); },
                    {{3, 2}, {20}});
  check_derivatives([&](const auto& x) { return embedding_bag(x[0] * x[0], index.flatten(), offsets); },
                    {{3, 2}});
  CHECK(error_of([] { (void)embedding_bag(zeros({3, 2}), tensor({{0, 3}})); }) ==
        "embedding_bag: index 3 at position 1 is out of range; it must be at least 0 and below 3");
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
