#include "tests/support/derivatives.h"

#include <cmath>

namespace miniparallel {
namespace {

using testing::check_derivatives;
using testing::check_same_for_any_threads;
using testing::error_of;

/// From the definition; `hidden`: true where a score does not count.
Tensor naive(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& hidden,
             const Tensor& bias = {}) {
  Tensor scores = matmul(q, k.transpose(-2, -1)) / std::sqrt(static_cast<double>(q.size(-1)));
  if (bias.defined()) scores = scores + bias;
  if (hidden.defined()) scores = masked_fill(scores, hidden, -1e9);
  return matmul(softmax(scores, -1), v);
}

Tensor future(std::int64_t n, std::int64_t m) { return arange(m) > arange(n).unsqueeze(1); }

struct Case {
  Shape q, k, v;
};

TEST_CASE("attention: equals the definition, and so do its gradients") {
  manual_seed(4);
  const Case cases[] = {{{2, 3, 5, 8}, {2, 3, 7, 8}, {2, 3, 7, 4}},
                        {{130, 16}, {200, 16}, {200, 16}},
                        {{4, 1, 100, 8}, {3, 70, 8}, {3, 70, 8}},
                        {{2, 1, 4}, {2, 1, 4}, {2, 1, 4}}};
  for (const Case& c : cases)
    for (const int kind : {0, 1, 2, 3}) {
      CAPTURE(kind);
      CAPTURE(to_string(c.q));
      Tensor q = randn(c.q), k = randn(c.k), v = randn(c.v);
      const std::int64_t n = q.size(-2), m = k.size(-2);
      Tensor mask, hidden, bias;
      if (kind == 1) hidden = future(n, m);
      if (kind == 2) mask = rand({n, m}) > 0.3, mask.select(1, 0).fill_(true), hidden = logical_not(mask);
      if (kind == 3) mask = bias = randn({m});
      std::vector<Tensor> inputs{q.requires_grad_(), k.requires_grad_(), v.requires_grad_()};
      const Tensor expected = naive(q, k, v, hidden, bias);
      const Tensor y = scaled_dot_product_attention(q, k, v, mask, {.causal = kind == 1});
      CHECK(allclose(y, expected, 1e-4, 1e-5));
      const Tensor g = randn(y.shape());
      const auto got = autograd::grad({y}, inputs, {.gradients = {g}});
      const auto wanted = autograd::grad({expected}, inputs, {.gradients = {g}});
      for (std::size_t i = 0; i < 3; ++i) CHECK(allclose(got[i], wanted[i], 1e-4, 1e-5));
    }
}

TEST_CASE(
    "attention: heads split off by a transpose need no copy, and their results are joined without one") {
  const Tensor x = randn({2, 70, 3, 8}).requires_grad_(), heads = x.transpose(1, 2);
  const Tensor y = scaled_dot_product_attention(heads, heads, heads);
  CHECK(y.transpose(1, 2).is_contiguous());
  const Tensor plain = x.detach().transpose(1, 2).contiguous().requires_grad_();
  const Tensor expected = scaled_dot_product_attention(plain, plain, plain);
  CHECK(expected.is_contiguous());
  CHECK(allclose(y, expected));
  const Tensor g = randn({2, 70, 3, 8}).transpose(1, 2);
  y.backward(g);
  expected.backward(g);
  CHECK(allclose(x.grad().transpose(1, 2), plain.grad()));
}

TEST_CASE("attention: repeated matrices and rows without width") {
  const Tensor q = randn({1, 5, 4}).expand({3, 5, 4}), v = randn({6, 4});
  CHECK(allclose(scaled_dot_product_attention(q, v, v)[2], scaled_dot_product_attention(q[0], v, v)));
  CHECK(scaled_dot_product_attention(q, v, v).is_contiguous());
  CHECK(scaled_dot_product_attention(q, v, zeros({6, 0})).shape() == Shape{3, 5, 0});
}

TEST_CASE("attention: a row that sees nothing gives zeros and no gradient") {
  Tensor q = randn({3, 4}), mask = tensor({true, false, false, false, true, true}, {3, 2});
  q.requires_grad_();
  const Tensor k = randn({2, 4});
  for (const double dropout : {0.0, 1e-12}) {
    const Tensor y = scaled_dot_product_attention(q, k, k, mask, {.dropout = dropout});
    CHECK(equal(y[1], zeros({4})));
    q.set_grad({});
    y.sum().backward();
    CHECK(equal(q.grad()[1], zeros({4})));
    CHECK(equal(q.grad(), q.grad()));  // no NaN
  }
}

TEST_CASE("attention: dropout drops whole probabilities and keeps the mean") {
  manual_seed(9);
  const Tensor q = zeros({200, 4}), k = zeros({50, 4}), v = ones({50, 1});
  const Tensor y = scaled_dot_product_attention(q, k, v, {}, {.dropout = 0.5});
  CHECK(mean(y).item() == doctest::Approx(1).epsilon(0.05));
  CHECK(var(y).item() > 0.01);
}

TEST_CASE("attention: derivatives, also of a mask that is learnt") {
  const auto run = [](bool causal) {
    return [=](const std::vector<Tensor>& x) {
      return scaled_dot_product_attention(x[0], x[1], x[2], {}, {.causal = causal});
    };
  };
  check_derivatives(run(false), {{2, 3, 4}, {2, 5, 4}, {2, 5, 2}});
  check_derivatives(run(true), {{2, 3, 4}, {1, 5, 4}, {5, 2}});
  check_derivatives([](const auto& x) { return scaled_dot_product_attention(x[0], x[0], x[0]); }, {{3, 2}});
  check_derivatives([](const auto& x) { return scaled_dot_product_attention(x[0], x[1], x[2], x[3]); },
                    {{3, 2}, {4, 2}, {4, 2}, {3, 4}});
}

TEST_CASE("attention: the same for any number of threads; errors") {
  const Tensor x = randn({6, 150, 16});
  check_same_for_any_threads([&] { return scaled_dot_product_attention(x, x, x, {}, {.causal = true}); });
  const Tensor q = ones({2, 3, 4});
  CHECK(error_of([&] { scaled_dot_product_attention(q, ones({2, 3, 5}), q); }).find("width of a head") !=
        std::string::npos);
  CHECK(error_of([&] { scaled_dot_product_attention(q, q, ones({2, 4, 4})); }).find("number of rows") !=
        std::string::npos);
  CHECK(error_of([&] { scaled_dot_product_attention(q, q, q, ones({2, 2})); }) != "");
  CHECK(error_of([&] {
          scaled_dot_product_attention(q, q, q, ones({3, 3}, {.dtype = int64}));
        }).find("mask has dtype int64") != std::string::npos);
}

}  // namespace
}  // namespace miniparallel
