#include "tests/support/derivatives.h"

namespace miniparallel {
namespace {

using testing::check_derivatives;
using testing::check_same_for_any_threads;
using testing::error_of;

TEST_CASE("gather, scatter: what does not fit is named") {
  const Tensor x = ones({3, 4}), index = zeros({3, 2}, int64);
  CHECK(
      error_of([&] { gather(x, 1, tensor({0, 1})); }) ==
      "gather: got shape [3, 4] and an index of shape [2]; they must have as many dimensions, at least one");
  CHECK(error_of([&] { gather(x, 1, zeros({4, 2}, int64)); }) ==
        "gather: an index of shape [4, 2] does not fit shape [3, 4]; outside dim 1 no size may be larger");
  CHECK(error_of([&] { gather(x, 1, index + 4); }) ==
        "gather: index 4 at position 0 is out of range; it must be at least 0 and below 4");
  CHECK(error_of([&] { gather(x, 1, index - 1); }).find("index -1 at position 0") != std::string::npos);
  CHECK(error_of([&] { gather(x, 1, ones({3, 2})); }) ==
        "gather: indices have dtype float32; convert them to int64 or int32");
  CHECK(error_of([&] { scatter(x, 1, index, ones({3, 1})); }) ==
        "scatter: an index of shape [3, 2] needs a source that is no smaller; it has shape [3, 1]");
  CHECK(error_of([&] { scatter(x, 1, index, ones({3, 2}, float64)); }) ==
        "scatter: tensors are float32 and float64; convert one with to(dtype)");
  CHECK(error_of([&] {
          scatter_add(ones({3, 4}, int64), 1, index, ones({3, 2}, int64));
        }).starts_with("scatter_add: got int64"));
  CHECK(error_of([&] { one_hot(tensor({0, 5}), 5); }) ==
        "one_hot: index 5 at position 1 is out of range; it must be at least 0 and below 5");
  CHECK(error_of([&] { masked_select(x, x); }) == "masked_select: the mask is float32; compare to get bool");
  CHECK(error_of([&] { index_add(x, 0, tensor({0}), ones({2, 4})); }) ==
        "index_add: the source has shape [2, 4]; for 1 indices it must be [1, 4]");
}

TEST_CASE("an index that is refused leaves the tensor as it was") {
  Tensor x = ones({3});
  CHECK_THROWS_AS(x.scatter_(0, tensor({0, 3}), 7), Error);
  CHECK_THROWS_AS(x.scatter_add_(0, tensor({0, 3}), ones({2})), Error);
  CHECK_THROWS_AS(x.index_add_(0, tensor({0, 3}), ones({2})), Error);
  CHECK(equal(x, ones({3})));
}

TEST_CASE("gather, scatter_add: rows that have their own indices add up one after the other") {
  manual_seed(4);
  for (const std::int64_t rows : {40, 30})  // 30: the last ten have none
    for (const DType dtype : {float32, float64}) {
      const Tensor index = randint(0, 70, {rows, 90}), g = randn({rows, 90}, {.dtype = dtype});
      const Tensor y = scatter_add(ones({40, 70}, dtype), 1, index, g);
      Tensor x = zeros({40, 70}, dtype);
      x.requires_grad_();
      gather(x, 1, index).backward(g);
      CAPTURE(rows);
      for (std::int64_t row = 0; row < 40; ++row) {
        const Tensor none = zeros({70}, dtype), one = ones({70}, dtype);
        const auto added = [&](const Tensor& to) {
          return row < rows ? index_add(to, 0, index[row], g[row]) : to;
        };
        REQUIRE(equal(x.grad()[row], added(none)));
        REQUIRE(equal(y[row], added(one)));
      }
    }
  Tensor index = randint(0, 200, {200, 500});
  const Tensor g = randn({200, 500});
  check_same_for_any_threads([&] { return scatter_add(zeros({200, 200}), 1, index, g); });
  Tensor x = ones({200, 200});
  x.requires_grad_();
  const Tensor y = gather(x, 1, index);
  index.zero_();
  CHECK(error_of([&] { y.backward(g); }).find("gather") != std::string::npos);
}

TEST_CASE("scatter: derivatives where indices are equal") {
  const Tensor index = tensor({2, 0, 2, 2}, {4, 1}).expand({4, 2});
  check_derivatives([=](const auto& x) { return scatter(x[0] * x[0], 0, index, x[1] * x[1]); },
                    {{3, 2}, {4, 3}});
}

TEST_CASE("what users do with masks, indices and one_hot") {
  const Tensor x = tensor({{3, -1, 2}, {-5, 0, 4}});
  CHECK(equal(masked_select(x, x > 0), tensor({3, 2, 4})));
  CHECK(equal(nonzero(x < 0), tensor({{0, 1}, {1, 0}})));
  CHECK(nonzero(tensor(1)).shape() == Shape{1, 0});
  CHECK(equal(take_along_dim(x, argsort(x, 1), 1), sort(x, 1).values));
  const ValuesAndIndices largest = topk(x, 2);
  CHECK(equal(largest.values, tensor({{3, 2}, {4, 0}})));
  CHECK(equal(largest.indices, tensor({{0, 2}, {2, 1}})));
  CHECK(equal(one_hot(tensor({1, 0})), tensor({{0, 1}, {1, 0}})));
  CHECK(equal(bincount(tensor({1, 1, 3})), tensor({0, 2, 0, 1})));
  CHECK(bincount(zeros({0}, int64)).shape() == Shape{0});
  CHECK(error_of([&] { topk(x, 4); }) ==
        "topk: k is 4 for dimension -1 of [2, 3]; it must be at least 0 and at most its size");
}

}  // namespace
}  // namespace miniparallel
