#include "tests/support/derivatives.h"

#include <cmath>

namespace miniparallel {
namespace {

using testing::check_derivatives;
using testing::check_same_for_any_threads;
using testing::error_of;

/// From the definition, in float64.
Tensor naive(const Tensor& x, int dim) {
  const Tensor e = exp(x.to(float64) - amax(x.to(float64), {dim}, true));
  return e / sum(e, {dim}, true);
}

TEST_CASE("softmax: every dim of any size and layout equals the definition") {
  manual_seed(5);
  for (const Shape& shape : {Shape{7}, {3, 10}, {4, 1000}, {2, 5, 3}, {2, 3, 200}, {5, 1, 4}, {300, 3}})
    for (int dim = 0; dim < shape.rank(); ++dim) {
      CAPTURE(to_string(shape));
      const Tensor x = randn(shape) * 5;
      CHECK(allclose(softmax(x, dim).to(float64), naive(x, dim), 2e-6, 1e-9));
      CHECK(allclose(log_softmax(x, dim).to(float64), log(naive(x, dim)), 2e-6, 1e-6));
      if (shape.rank() == 2) CHECK(allclose(softmax(x.t(), 1 - dim), softmax(x, dim).t()));
    }
  CHECK(softmax(scalar_tensor(3.0f), 0).item() == 1);
  CHECK(softmax(zeros({0, 3}), 0).shape() == Shape{0, 3});
}

TEST_CASE("softmax: large inputs neither overflow nor lose their differences") {
  const Tensor x = tensor({10000.0f, 10001.0f, -10000.0f});
  CHECK(softmax(x, 0).to_vector<float>()[1] == doctest::Approx(0.7310586f));
  CHECK(log_softmax(x, 0).to_vector<float>()[0] == doctest::Approx(-1.3132617f));
  CHECK(cross_entropy(x.unsqueeze(0), tensor({0})).item() == doctest::Approx(1.3132617));
}

TEST_CASE("softmax, log_softmax: derivatives and errors") {
  for (const int dim : {0, 1, 2}) {
    check_derivatives([=](const auto& x) { return softmax(x[0], dim); }, {{2, 3, 4}});
    check_derivatives([=](const auto& x) { return log_softmax(x[0], dim); }, {{2, 3, 4}});
  }
  CHECK(error_of([] { softmax(ones({2}), 1); }).find("softmax") == 0);
  CHECK(error_of([] { log_softmax(tensor({1, 2}), 0); }).find("log_softmax") == 0);
}

/// From the definition; `target` of any class dtype, not ignored.
Tensor naive_loss(const Tensor& x, const Tensor& target, double smoothing) {
  const Tensor log_p = log_softmax(x, 1);
  Shape classes = Shape::filled(x.dim(), 1);
  classes[1] = x.size(1);
  const Tensor hit = target.to(int64).unsqueeze(1) == arange(x.size(1)).view(classes);
  return -sum(where(hit, log_p, zeros_like(log_p)), {1}) * (1 - smoothing) - mean(log_p, {1}) * smoothing;
}

TEST_CASE("cross_entropy: reductions, smoothing, dtypes of labels, further dimensions") {
  manual_seed(6);
  for (const Shape& shape : {Shape{1, 2}, {5, 10}, {3, 1000}, {2, 4, 3}, {2, 5, 7, 11}, {0, 3}}) {
    Shape labels = shape;
    labels.erase(1);
    const Tensor x = randn(shape) * 3, target = randint(0, shape[1], labels);
    for (const double smoothing : {0.0, 0.1, 1.0}) {
      CAPTURE(to_string(shape));
      const Tensor each = naive_loss(x, target, smoothing);
      const auto run = [&](Reduction reduction, DType dtype) {
        return cross_entropy(x, target.to(dtype), {.reduction = reduction, .label_smoothing = smoothing});
      };
      CHECK(allclose(run(Reduction::none, int64), each, 1e-5, 1e-6));
      CHECK(allclose(run(Reduction::sum, int32), sum(each), 1e-5, 1e-5));
      if (shape[1] <= 255 && shape[0] > 0)
        CHECK(allclose(run(Reduction::mean, uint8), mean(each), 1e-5, 1e-5));
    }
  }
}

TEST_CASE("cross_entropy: ignored items count neither in the loss nor in the gradient") {
  Tensor x = randn({4, 3});
  x.requires_grad_();
  const Tensor target = tensor({0, -100, 2, -100});
  const Tensor loss = cross_entropy(x, target, {.label_smoothing = 0.2});
  const Tensor kept = cross_entropy(x.detach().slice(0, 0, 4, 2), tensor({0, 2}), {.label_smoothing = 0.2});
  CHECK(allclose(loss, kept));
  loss.backward();
  CHECK(equal(x.grad().slice(0, 1, 4, 2), zeros({2, 3})));
  CHECK(std::isnan(cross_entropy(x, full({4}, -100)).item()));
  CHECK(cross_entropy(x, full({4}, 1), {.reduction = Reduction::sum, .ignore_index = 1}).item() == 0);
}

TEST_CASE("cross_entropy, nll_loss: derivatives") {
  const Tensor target = tensor({2, 0, 1, 2}), pixels = tensor({0, 1, 2, 2, 1, 0}, {2, 3});
  for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none}) {
    const CrossEntropyOptions options{.reduction = reduction, .ignore_index = 0, .label_smoothing = 0.1};
    check_derivatives([=](const auto& x) { return cross_entropy(x[0], target, options); }, {{4, 3}});
    check_derivatives([=](const auto& x) { return cross_entropy(x[0], pixels, options); }, {{2, 3, 3}});
    const NllLossOptions nll{.reduction = reduction, .ignore_index = 0};
    check_derivatives([=](const auto& x) { return nll_loss(log_softmax(x[0], 1), target, nll); }, {{4, 3}});
    check_derivatives([=](const auto& x) { return nll_loss(x[0] * x[0], pixels, nll); }, {{2, 3, 3}});
  }
}

TEST_CASE("cross_entropy, nll_loss: errors name the op, the index and the bound") {
  const Tensor x = randn({3, 4});
  const std::string range = error_of([&] { cross_entropy(x, tensor({0, 4, 9})); });
  CHECK(range == "cross_entropy: target 4 at position 1 is out of range; it must be at least 0 and below 4");
  CHECK(error_of([&] { nll_loss(x, tensor({0, -1, 0})); }).find("nll_loss: target -1 at position 1") == 0);
  CHECK(error_of([&] { cross_entropy(x, tensor({0, 1})); }).find("it must be [3]") != std::string::npos);
  CHECK(error_of([&] { cross_entropy(x, ones({3})); }).find("target has dtype float32") != std::string::npos);
  CHECK(error_of([&] { cross_entropy(x, tensor({0, 1, 2}), {.label_smoothing = 2}); }).find("[0, 1]") !=
        std::string::npos);
  CHECK(error_of([&] { cross_entropy(x[0], tensor({0})); }).find("(n, classes)") != std::string::npos);
}

TEST_CASE("pointwise losses: values, derivatives, errors") {
  manual_seed(8);
  const Tensor x = randn({123, 211}), t = rand({123, 211});
  CHECK(allclose(mse_loss(x, t), mean((x - t) * (x - t))));
  CHECK(allclose(l1_loss(x, t, Reduction::sum), sum(abs(x - t))));
  CHECK(allclose(bce_with_logits(x, t, Reduction::none), -t * log(sigmoid(x)) - (1 - t) * log(1 - sigmoid(x)),
                 1e-4, 1e-5));
  CHECK(bce_with_logits(tensor({30.0f}), tensor({1.0f})).item() == doctest::Approx(9.3576e-14));
  CHECK(bce_with_logits(tensor({-1000.0f}), tensor({1.0f})).item() == 1000);
  check_same_for_any_threads([&] { return mse_loss(x, t); });
  for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none}) {
    check_derivatives([=](const auto& a) { return mse_loss(a[0], a[1], reduction); }, {{3, 2}, {3, 2}});
    check_derivatives([=](const auto& a) { return l1_loss(a[0] * a[0], a[1], reduction); }, {{3, 2}, {3, 2}});
    check_derivatives([=](const auto& a) { return bce_with_logits(a[0], a[1], reduction); },
                      {{3, 2}, {3, 2}});
  }
  CHECK(error_of([&] { mse_loss(x, ones({123})); }).find("mse_loss: input of shape [123, 211]") == 0);
}

}  // namespace
}  // namespace miniparallel
