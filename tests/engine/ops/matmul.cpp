#include "tests/support/derivatives.h"

#include <atomic>
#include <cmath>
#include <limits>
#include <thread>

namespace miniparallel {
namespace {

using testing::check_derivatives;
using testing::error_of;

/// Small integers: every sum is exact.
Tensor integers(const Shape& shape, DType dtype = float32) { return randint(-4, 5, shape).to(dtype); }

/// Of matrices, from the definition.
Tensor naive(const Tensor& a, const Tensor& b) { return sum(a.unsqueeze(-1) * b.unsqueeze(-3), {-2}); }

TEST_CASE("matmul: every combination of layouts equals the definition") {
  const auto layouts = [](std::int64_t rows, std::int64_t columns, DType dtype) {
    return std::vector<Tensor>{
        integers({rows, columns}, dtype),
        integers({columns, rows}, dtype).t(),
        integers({rows, columns + 3}, dtype).narrow(1, 2, columns),
        integers({columns, rows + 2}, dtype).narrow(1, 1, rows).t(),
        integers({2 * rows, 2 * columns}, dtype).slice(0, 0, 2 * rows, 2).slice(1, 0, 2 * columns, 2),
        integers({1, columns}, dtype).expand({rows, columns}),
        integers({rows, 1}, dtype).expand({rows, columns})};
  };
  for (const DType dtype : {float32, float64})
    for (const auto& [n, k, m] : {std::array<std::int64_t, 3>{3, 4, 5},
                                  {1, 4, 5},
                                  {3, 1, 5},
                                  {3, 4, 1},
                                  {1, 1, 1},
                                  {1, 7, 1},
                                  {33, 17, 65}})
      for (const Tensor& a : layouts(n, k, dtype))
        for (const Tensor& b : layouts(k, m, dtype)) REQUIRE(equal(matmul(a, b), naive(a, b)));
}

TEST_CASE("matmul: batches broadcast, vectors as in NumPy") {
  const auto agrees = [](const Shape& a_shape, const Shape& b_shape) {
    const Tensor a = integers(a_shape), b = integers(b_shape);
    return equal(matmul(a, b), naive(a, b));
  };
  CHECK(agrees({6, 3, 4}, {6, 4, 5}));
  CHECK(agrees({2, 3, 3, 4}, {4, 5}));
  CHECK(agrees({3, 4}, {2, 3, 4, 5}));
  CHECK(agrees({2, 1, 3, 4}, {3, 4, 5}));
  CHECK(agrees({64, 40, 40}, {64, 40, 40}));
  CHECK(agrees({0, 3, 4}, {4, 5}));
  const Tensor a = integers({2, 3, 4}), v = integers({4}), w = integers({3});
  CHECK(equal(matmul(a, v), naive(a, v.unsqueeze(1)).squeeze(-1)));
  CHECK(equal(matmul(w, a), naive(w.unsqueeze(0), a).squeeze(-2)));
  CHECK(matmul(v, v).shape() == Shape{});
  CHECK(equal(matmul(v, v), sum(v * v)));
}

TEST_CASE("matmul: an inner size of 0 gives zeros, memory that was never written does not matter") {
  CHECK(equal(matmul(zeros({2, 0}), zeros({0, 3})), zeros({2, 3})));
  CHECK(matmul(zeros({0, 2}), zeros({2, 3})).shape() == Shape{0, 3});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Shape& shape : {Shape{3, 4}, {1, 4}, {3, 1}}) {
    {
      const Tensor poison = full({shape[0], shape[1]}, nan);
    }  // its memory is handed out again
    const Tensor y = matmul(ones({shape[0], 2}), ones({2, shape[1]}));
    CHECK(equal(y, full(shape, 2.0f)));
  }
}

TEST_CASE("matmul, linear: gradients are added to those that are there") {
  Tensor w = integers({3, 4}), bias = integers({3});
  w.requires_grad_();
  bias.requires_grad_();
  const Tensor x = integers({5, 4});
  for (int i = 0; i < 2; ++i) linear(x, w, bias).sum().backward();
  CHECK(equal(w.grad(), x.sum({0}, true).expand({3, 4}) * 2));
  CHECK(equal(bias.grad(), full({3}, 10.0f)));
  const Tensor y = linear(x, w) + linear(x * 2, w);  // two uses in one graph
  w.set_grad({});
  y.sum().backward();
  CHECK(equal(w.grad(), x.sum({0}, true).expand({3, 4}) * 3));
}

TEST_CASE("linear: any leading dimensions, with and without bias") {
  const Tensor w = integers({3, 4}), bias = integers({3});
  for (const Shape& shape : {Shape{4}, {5, 4}, {2, 5, 4}, {0, 4}}) {
    const Tensor x = integers(shape);
    const Tensor expected = matmul(x, w.t());
    CHECK(equal(linear(x, w), expected));
    CHECK(equal(linear(x, w, bias), expected + bias));
  }
  const Tensor x = integers({4, 6, 2}).permute({2, 1, 0});
  CHECK(equal(linear(x, w, bias), matmul(x.contiguous(), w.t()) + bias));
}

TEST_CASE("linear: an activation is the op of its name") {
  const auto plain = [](Activation activation, const Tensor& x) {
    return activation == Activation::relu ? relu(x) : gelu(x, Gelu::tanh);
  };
  for (const Activation activation : {Activation::relu, Activation::gelu_tanh})
    for (const DType dtype : {float32, float64})
      for (const Shape& shape : {Shape{4}, {5, 4}, {2, 5, 4}, {0, 4}, {50, 4}}) {
        const Tensor x = (integers(shape).to(dtype) / 4).requires_grad_();
        const Tensor w = integers({37, 4}).to(dtype), bias = integers({37}).to(dtype);
        const Tensor y = linear(x, w, bias, activation), expected = plain(activation, linear(x, w, bias));
        CHECK(equal(y, expected));
        CHECK(equal(linear(x.detach(), w, bias, activation), expected));
        CHECK(equal(linear(x, w, {}, activation), plain(activation, linear(x, w))));
        const Tensor g = integers(y.shape()).to(dtype);
        const auto gradient = [&](const Tensor& of) {
          return autograd::grad({of}, {x}, {.gradients = {g}})[0];
        };
        CHECK(equal(gradient(y), gradient(expected)));
      }
  CHECK(std::isnan(linear(full({1, 2}, NAN), ones({1, 2}), {}, Activation::relu).item<float>()));

  const nn::Linear layer(4, 3, {.activation = Activation::relu});
  const Tensor x = integers({5, 4});
  CHECK(equal(layer(x), relu(linear(x, layer.weight, layer.bias))));
}

TEST_CASE("linear: what an activation keeps is guarded against later writes") {
  const Tensor x = integers({5, 4}), w = integers({3, 4}).requires_grad_();
  Tensor y = linear(x, w, {}, Activation::relu);
  y.add_(1);
  CHECK(error_of([&] { y.sum().backward(); }).find("linear saved") != std::string::npos);
  Tensor z = linear(x, w, {}, Activation::gelu_tanh);
  z.add_(1);  // gelu keeps what it was given
  z.sum().backward();
  CHECK(w.grad().defined());
}

TEST_CASE("matmul, linear: derivatives") {
  check_derivatives([](const auto& x) { return matmul(x[0], x[1]); }, {{3, 4}, {4, 2}});
  check_derivatives([](const auto& x) { return matmul(x[0], x[1]); }, {{2, 1, 3, 4}, {3, 4, 2}});
  check_derivatives([](const auto& x) { return matmul(x[0], x[1]); }, {{2, 3, 4}, {4}});
  check_derivatives([](const auto& x) { return matmul(x[0], x[1]); }, {{4}, {2, 4, 3}});
  check_derivatives([](const auto& x) { return matmul(x[0], x[0].t()); }, {{3, 4}});
  check_derivatives([](const auto& x) { return linear(x[0], x[1], x[2]); }, {{2, 3, 4}, {5, 4}, {5}});
  check_derivatives([](const auto& x) { return linear(x[0], x[1]); }, {{4}, {5, 4}});
}

TEST_CASE("matmul: gradients of products without elements, whose strides may be 0") {
  for (const Shape& shape : {Shape{0, 3}, Shape{2, 3}}) {
    const std::int64_t columns = shape[0] == 0 ? 4 : 0;
    const Tensor a = randn(shape).requires_grad_(), b = randn({3, columns}).requires_grad_();
    matmul(a, b).sum().backward();
    CHECK(equal(a.grad(), zeros(shape)));
    CHECK(equal(b.grad(), zeros({3, columns})));
  }
}

TEST_CASE("matmul: products of several threads at the same time") {
  const Tensor a = integers({100, 8}), b = integers({8, 70}), expected = matmul(a, b);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5000; ++i) wrong += !equal(matmul(a, b), expected);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST_CASE("matmul, linear: errors name the op, the shapes and what to do") {
  CHECK(error_of([] {
          matmul(ones({2, 3}), ones({4, 5}));
        }).find("matmul: the inner sizes of [2, 3] and [4, 5]") == 0);
  CHECK(error_of([] { matmul(ones({2, 3, 4}), ones({5, 4, 2})); }).find("matmul") == 0);
  CHECK(error_of([] { matmul(tensor({1, 2}), tensor({1, 2})); }).find("matmul") == 0);
  CHECK(error_of([] { matmul(ones({2, 2}), ones({2, 2}, {.dtype = float64})); }).find("matmul") == 0);
  CHECK(error_of([] { matmul(ones({}), ones({2, 2})); }).find("use * for a scalar") != std::string::npos);
  CHECK(error_of([] { linear(ones({2, 3}), ones({5, 4})); }).find("last size must be 4") !=
        std::string::npos);
  CHECK(error_of([] { linear(ones({2, 4}), ones({5, 4}), ones({4})); }).find("linear: bias has shape [4]") ==
        0);
}

}  // namespace
}  // namespace miniparallel
