#include "tests/support/derivatives.h"

namespace miniparallel {
namespace {

using testing::check_derivatives;
using testing::check_same_for_any_threads;
using testing::error_of;

TEST_CASE("index_select: any dim, dtype and layout") {
  const Tensor index = tensor({2, 0, 2});
  for (const DType dtype : {float32, float64, int64, int32, uint8, boolean, float16, bfloat16})
    for (const Tensor& layout : {randint(0, 2, {3, 4, 5}), randint(0, 2, {5, 4, 3}).permute({2, 1, 0})})
      for (int dim = 0; dim < 3; ++dim) {
        const Tensor x = layout.to(dtype), y = index_select(x, dim, index.to(int32));
        CHECK(y.size(dim) == 3);
        for (int i = 0; i < 3; ++i)
          CHECK(equal(y.select(dim, i).to(float32), x.select(dim, i == 1 ? 0 : 2).to(float32)));
      }
  CHECK(index_select(ones({3, 2}), 0, zeros({0}, {.dtype = int64})).shape() == Shape{0, 2});
}

TEST_CASE("index_select: runs of neighbours, forwards and backwards, of rows of any size") {
  const std::int64_t n = 40;
  const Tensor up = arange(n), down = arange(n - 1, -1, -1);
  const std::vector<Tensor> indices{up,
                                    down,
                                    cat({up.narrow(0, 5, 30), down.narrow(0, 1, 20)}),
                                    cat({down.narrow(0, 0, 7), tensor({3, 9, 9})}),
                                    cat({zeros({1}, int64), up, full({1}, n - 1)}),
                                    cat({up.narrow(0, 0, 8), up.narrow(0, 0, 8)})};
  for (const DType dtype : {float32, float64, int32, uint8, boolean, bfloat16})
    for (const std::int64_t inner : {1, 2, 3, 5}) {
      const Tensor x = randint(0, 2, {6, n, inner}).to(dtype);
      for (const Tensor& index : indices) {
        INFO(dtype, ", rows of ", inner, ", ", index.numel(), " indices");
        const Tensor y = index_select(x, 1, index);
        for (std::int64_t i = 0; i < index.numel(); ++i)
          REQUIRE(equal(y.select(1, i), x.select(1, index[i].item<std::int64_t>())));
        CHECK(equal(index_select(x, 1, index.to(int32)), y));
      }
    }
}

TEST_CASE("index_add, embedding: a few indices of many rows add up as many of few do") {
  manual_seed(6);
  for (const DType dtype : {float32, float64}) {
    const Tensor index = randint(0, 30, {50}), source = randn({50, 6}, {.dtype = dtype});
    const Tensor few = index_add(zeros({30, 6}, dtype), 0, index, source);
    const Tensor many = index_add(zeros({30'000, 6}, dtype), 0, index * 999, source);
    CHECK(equal(index_select(many, 0, arange(30) * 999), few));
    CHECK(many.count_nonzero().item<int>() == few.count_nonzero().item<int>());
    Tensor weight = zeros({30'000, 6}, dtype);
    weight.requires_grad_();
    embedding(weight, index * 999, 999).backward(source);
    CHECK(equal(weight.grad()[999], zeros({6}, dtype)));
    CHECK(equal(weight.grad()[1998], many[1998]));
  }
}

TEST_CASE("embedding: repeated indices add up in their order, the padding row gets nothing") {
  Tensor weight = ones({4, 3});
  weight.requires_grad_();
  const Tensor y = embedding(weight, tensor({1, 3, 1, 0}, {2, 2}), 3);
  CHECK(y.shape() == Shape{2, 2, 3});
  y.sum().backward();
  CHECK(weight.grad().select(1, 0).to_vector<float>() == std::vector<float>{1, 2, 0, 0});
  manual_seed(2);
  const Tensor index = randint(0, 20, {3000}), g = randn({3000, 130});
  check_same_for_any_threads([&] {
    Tensor w = zeros({20, 130});
    w.requires_grad_();
    embedding(w, index).backward(g);
    return w.grad();
  });
}

TEST_CASE("embedding: the gradient of rows of any width is that of float64, rounded") {
  manual_seed(3);
  for (const std::int64_t width : {1, 5, 31, 64, 70, 130, 300}) {
    const Tensor index = randint(0, 20, {150}), g = randn({150, width});
    const auto gradient = [&](DType dtype) {
      Tensor w = zeros({20, width}, dtype);
      w.requires_grad_();
      embedding(w, index).backward(g.to(dtype));
      return w.grad().to(float32);
    };
    CAPTURE(width);
    CHECK(equal(gradient(float32), gradient(float64)));
  }
}

TEST_CASE("embedding: the sum of many hits is rounded once, as one of `sum` is") {
  for (const std::int64_t hits : {1'000'000, 3'000'000}) {
    Tensor weight = zeros({2, 1});
    weight.requires_grad_();
    embedding(weight, ones({hits}, {.dtype = int64})).backward(full({hits, 1}, 0.1));
    CHECK(weight.grad()[1].item<float>() == static_cast<float>(static_cast<double>(hits) * double{0.1f}));
    CHECK(weight.grad()[1].item<float>() == full({hits}, 0.1).sum().item<float>());
    CHECK(weight.grad()[0].item() == 0);
  }
}

TEST_CASE("index_select, embedding: derivatives") {
  const Tensor index = tensor({2, 0, 2});
  for (int dim = 0; dim < 2; ++dim)
    check_derivatives([=](const auto& x) { return index_select(x[0] * x[0], dim, index); }, {{3, 4}});
  check_derivatives([=](const auto& x) { return embedding(x[0] * x[0], index); }, {{3, 4}});
}

TEST_CASE("index_select, embedding: errors name the op, the index and the bound") {
  const Tensor x = ones({3, 2});
  CHECK(error_of([&] { index_select(x, 1, tensor({0, 2})); }) ==
        "index_select: index 2 at position 1 is out of range; it must be at least 0 and below 2");
  CHECK(error_of([&] { embedding(x, tensor({-1})); }).find("embedding: index -1 at position 0") == 0);
  CHECK(error_of([&] { embedding(x, ones({2})); }).find("indices have dtype float32") != std::string::npos);
  CHECK(error_of([&] { embedding(x, tensor({0}), 3); }).find("padding_idx 3") != std::string::npos);
  CHECK(error_of([&] { index_select(x, 0, tensor({0, 1}, {1, 2})); }).find("one dimension") !=
        std::string::npos);
}

TEST_CASE("cat, stack: any dim, empty parts, promotion") {
  const Tensor a = randn({2, 3}), b = randn({2, 1});
  const Tensor y = cat({a, b, a}, -1);
  CHECK(y.shape() == Shape{2, 7});
  CHECK(equal(y.narrow(1, 0, 3), a));
  CHECK(equal(y.narrow(1, 3, 1), b));
  CHECK(equal(cat({a.t(), a.t()}, 0).narrow(0, 3, 3), a.t()));
  CHECK(equal(cat({zeros({0}), a}, 1), a));
  CHECK(cat({tensor({1, 2}), tensor({0.5f})}).to_vector<float>() == std::vector<float>{1, 2, 0.5f});
  CHECK(equal(stack({a, a * 2}, 1).select(1, 1), a * 2));
  CHECK(stack({scalar_tensor(1.0f), scalar_tensor(2.0f)}).shape() == Shape{2});
  check_derivatives([](const auto& x) { return cat({x[0] * x[1], x[1]}, 1); }, {{2, 3}, {2, 3}});
  check_derivatives([](const auto& x) { return stack({x[0], x[0] * x[0]}, -1); }, {{2, 3}});
  CHECK(error_of([&] { cat({a, ones({3, 3})}, 1); }).find("cat: shapes [2, 3] and [3, 3]") == 0);
  CHECK(error_of([&] { stack({a, b}); }).find("stack: shapes [2, 3] and [2, 1]") == 0);
  CHECK(error_of([&] { cat({}); }).find("at least one") != std::string::npos);
}

}  // namespace
}  // namespace miniparallel
