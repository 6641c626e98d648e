#include <miniparallel/autograd.h>
#include <miniparallel/error.h>
#include <miniparallel/ops.h>
#include <miniparallel/random.h>

#include <doctest/doctest.h>

// Tensor::split and chunk, whose parts are the outputs of one node.

namespace miniparallel {
namespace {

TEST_CASE("split: the parts of a split are outputs of one node, and what reaches none of them is zero") {
  const Tensor x = tensor({1.0, 2.0, 3.0, 4.0, 5.0}, {5}, {.dtype = float64, .requires_grad = true});
  const std::vector<Tensor> parts = x.split(Shape{2, 0, 1, 2});
  (parts[3] * parts[3]).sum().backward({}, true);
  CHECK(x.grad().to_vector<double>() == std::vector<double>{0, 0, 0, 8, 10});
  const std::vector<Tensor> gradients = autograd::grad({parts[0].sum() + parts[2].sum() * 7}, {x, parts[2]});
  CHECK(gradients[0].to_vector<double>() == std::vector<double>{1, 1, 7, 0, 0});
  CHECK(gradients[1].to_vector<double>() == std::vector<double>{7});
  CHECK(zeros({0, 3}).split(Shape{}).empty());
}

TEST_CASE("split: gradients that lie side by side are the whole's gradient, and stay their owners' own") {
  manual_seed(2);
  const Tensor x = randn({2, 5, 12}, {.dtype = float64, .requires_grad = true});
  const auto heads = [](const Tensor& part) { return part.reshape({2, 5, 2, 2}).transpose(1, 2); };
  const auto attend = [&](const std::vector<Tensor>& parts) {
    return scaled_dot_product_attention(heads(parts[0]), heads(parts[1]), heads(parts[2]));
  };
  const std::vector<Tensor> parts = x.chunk(3, -1);
  Tensor apart[3];
  for (std::size_t i = 0; i < 3; ++i) apart[i] = parts[i].detach().clone().requires_grad_();
  const Tensor g = randn({2, 2, 5, 2}, {.dtype = float64});
  const std::vector<Tensor> wanted = autograd::grad({attend({apart[0], apart[1], apart[2]})},
                                                    {apart[0], apart[1], apart[2]}, {.gradients = {g}});
  parts[1].retain_grad();
  attend(parts).backward(g, true);
  CHECK(allclose(x.grad(), cat(wanted, -1), 1e-12, 1e-12));
  const Tensor kept = parts[1].grad();
  attend(parts).backward(g);  // adds to both
  CHECK(allclose(x.grad(), cat(wanted, -1) * 2, 1e-12, 1e-12));
  CHECK(allclose(parts[1].grad(), wanted[1] * 2, 1e-12, 1e-12));
  CHECK(kept.defined());
  Tensor whole = x.grad();
  whole.zero_();
  CHECK(allclose(parts[1].grad(), wanted[1] * 2, 1e-12, 1e-12));
}

TEST_CASE("split: first and second derivatives of splits, their parts used, left out and written") {
  const auto check = [](const autograd::Function1& function, const Shape& shape) {
    const Tensor x = randn(shape, {.dtype = float64, .requires_grad = true});
    CHECK(autograd::gradcheck(function, {x}) == "");
    CHECK(autograd::gradgradcheck(function, {x}) == "");
  };
  manual_seed(5);
  check(
      [](const std::vector<Tensor>& x) {
        const std::vector<Tensor> parts = x[0].split(Shape{3, 0, 3, 2}, -1);
        return parts[0] * parts[2] + square(parts[3]).sum({1}, true);
      },
      {2, 8});
  check(
      [](const std::vector<Tensor>& x) {
        const std::vector<Tensor> parts = x[0].t().chunk(4);
        return parts[0] * parts[1] * parts[0];
      },
      {2, 7});
  check([](const std::vector<Tensor>& x) { return x[0].chunk(1)[0] * x[0]; }, {3, 2});
  check(
      [](const std::vector<Tensor>& x) {
        const Tensor y = square(x[0]);
        std::vector<Tensor> parts = y.chunk(2, 1);
        parts[0].mul_(x[0].narrow(1, 1, 1));
        return cat({y * y, parts[0] * parts[1]}, 1);
      },
      {3, 4});
}

TEST_CASE("split: parts of a split that are written follow their base, as other views do") {
  const Tensor x = tensor({1.0, 2.0, 3.0, 4.0}, {4}, {.dtype = float64, .requires_grad = true});
  Tensor y = x * 1.0;
  const std::vector<Tensor> parts = y.chunk(2);
  Tensor first = parts[0];
  first.mul_(10);                          // a part
  CHECK(parts[1].requires_grad());         // the other part, with the base's new history
  y.mul_(2);                               // the base
  (parts[0] * parts[1]).sum().backward();  // (20 a) (2 b)
  CHECK(x.grad().to_vector<double>() == std::vector<double>{120, 160, 40, 80});
  {
    const NoGradGuard no_grad;
    x.chunk(4)[2].fill_(9);
  }
  CHECK(x[2].item() == 9);
  CHECK_THROWS_WITH_AS(x.chunk(2)[0].zero_(), doctest::Contains("a view of a leaf"), Error);
}

TEST_CASE("slices of a permuted tensor: their gradient lies in its order; first and second derivatives") {
  manual_seed(7);
  const Tensor x = randn({2, 3, 4}, {.dtype = float64, .requires_grad = true});
  for (const Shape& order : {Shape{1, 0, 2}, Shape{2, 0, 1}, Shape{2, 1, 0}}) {
    const auto part = [&](const std::vector<Tensor>& leaves) {
      const Tensor y = leaves[0].permute(order);
      return square(y.select(0, -1)) * y.slice(0, 0, 1).squeeze(0);
    };
    CHECK(autograd::gradcheck(part, {x}) == "");
    CHECK(autograd::gradgradcheck(part, {x}) == "");
    const Tensor y = x.permute(order);
    const Tensor dy = autograd::grad({y.select(0, 1).sum()}, {y})[0];
    CHECK(dy.strides() == y.strides());
    CHECK(dy.sum().item() == y.numel() / y.size(0));
    CHECK(dy.select(0, 1).sum().item() == y.numel() / y.size(0));
  }
  const Tensor repeated = x.unsqueeze(0).expand({5, 2, 3, 4});
  CHECK(autograd::grad({repeated.narrow(1, 0, 1).sum()}, {repeated})[0].is_contiguous());
}

}  // namespace
}  // namespace miniparallel
