#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

using namespace miniparallel;

TEST_CASE("an expression and its gradient") {
  Tensor x = tensor({1.0, 2.0, 3.0, 4.0}, {2, 2}, {.requires_grad = true});
  Tensor y = tanh(x * 2.0 + 1.0) / (x * x);
  y.backward(ones_like(y));
  CHECK(y.grad_fn_name() == "div");
  CHECK(x.grad().defined());
  const std::vector<double> grad = x.grad().to_vector<double>();
  CHECK(grad[0] == doctest::Approx(-1.9703769).epsilon(1e-5));
  CHECK(x.t().to_vector<int>() == std::vector<int>{1, 3, 2, 4});
  CHECK((x + 0.0).detach().to_string() == "tensor([[1., 2.],\n        [3., 4.]])");
}

TEST_CASE("ops bear the names that users know") {
  const Tensor x = ones({2}, {.requires_grad = true});
  CHECK((x * 2.0).grad_fn_name() == "mul");
  CHECK((1.0 - x).grad_fn_name() == "sub");
  CHECK((1.0 / x).grad_fn_name() == "div");
  CHECK(x.clamp(0, 1).grad_fn_name() == "clamp");
  CHECK(gelu(x).grad_fn_name() == "gelu");
  CHECK_THROWS_WITH_AS(neg(tensor({true})), "neg: bool is not supported; convert with to(float32)", Error);
}
