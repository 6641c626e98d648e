#include <doctest/doctest.h>
#include <miniparallel/miniparallel.h>

using namespace miniparallel;

TEST_CASE("in place: rows of a buffer written one by one carry gradients") {
  Tensor x = tensor({1.0, 2.0, 3.0, 4.0}, {2, 2}, {.dtype = float64, .requires_grad = true});
  Tensor buffer = zeros({3, 2}, {.dtype = float64});
  const Tensor last = buffer[2];
  buffer[0].copy_(x[0] * 2.0);
  buffer[1].copy_(x[1] * x[1]);
  CHECK(buffer.requires_grad());
  CHECK(last.requires_grad());  // an older view follows its base
  buffer[2].copy_(buffer[0] + buffer[1]);
  (last * last).sum().backward();
  // d (2 a + b^2)^2 = 2 (2 a + b^2) (2 da + 2 b db)
  CHECK(x.grad().to_vector<double>() == std::vector<double>{44, 80, 132, 320});
}

TEST_CASE("in place: what a write to a view covers gets no gradient, the rest does") {
  Tensor x = ones({2, 3}, {.dtype = float64, .requires_grad = true});
  Tensor y = x * 3.0;
  y.select(1, 1).mul_(10.0);
  y.t()[2].zero_();
  y.sum().backward();
  CHECK(x.grad().to_vector<double>() == std::vector<double>{3, 30, 0, 3, 30, 0});
}

TEST_CASE("in place: a product with a tensor that needs the old elements") {
  Tensor x = tensor({2.0, 3.0}, {2}, {.dtype = float64, .requires_grad = true});
  Tensor y = x * 1.0;
  y.mul_(x);
  y.clamp_(0, 5);
  y.sum().backward();
  CHECK(x.grad().to_vector<double>() == std::vector<double>{4, 0});
}

TEST_CASE("in place: second derivatives flow through a written view") {
  const Tensor x = tensor({0.5, -1.5}, {2}, {.dtype = float64, .requires_grad = true});
  const autograd::Function1 function = [](const std::vector<Tensor>& inputs) {
    Tensor y = inputs[0] * inputs[0];
    y.narrow(0, 0, 1).add_(square(inputs[0].narrow(0, 1, 1)));
    return y * y;
  };
  CHECK(autograd::gradcheck(function, {x}) == "");
  CHECK(autograd::gradgradcheck(function, {x}) == "");
}

TEST_CASE("in place: where autograd forbids it") {
  Tensor leaf = ones({2}, {.requires_grad = true});
  CHECK_THROWS_WITH_AS(leaf.add_(1),
                       "add_: a leaf that requires grad cannot be written in place while grad mode is on; "
                       "use NoGradGuard",
                       Error);
  CHECK_THROWS_WITH_AS(leaf[0].zero_(),
                       "fill_: a view of a leaf that requires grad cannot be written in place while grad "
                       "mode is on; use NoGradGuard",
                       Error);
  {
    const NoGradGuard no_grad;
    leaf[0].fill_(5);
  }
  CHECK(leaf.to_vector<int>() == std::vector<int>{5, 1});
  Tensor part;
  Tensor y = leaf * 1.0;
  {
    const NoGradGuard no_grad;
    part = y[0];
  }
  CHECK_THROWS_AS(part.mul_(leaf[1]), Error);
}
