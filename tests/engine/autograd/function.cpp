#include <miniparallel/autograd.h>
#include <miniparallel/error.h>
#include <miniparallel/ops.h>

#include <doctest/doctest.h>

// Ops of a user, and the check of their gradients.

namespace miniparallel {
namespace {

Tensor leaf(std::initializer_list<double> values) { return tensor(values).requires_grad_(); }
bool is(const Tensor& x, std::initializer_list<double> values) { return equal(x.detach(), tensor(values)); }

struct Cube : autograd::Function<Cube> {
  static constexpr const char* name = "cube";
  static std::vector<Tensor> forward(Context& context, const std::vector<Tensor>& inputs) {
    context.save_for_backward({inputs[0]});
    context.data["factor"] = 3.0;
    return {inputs[0] * inputs[0] * inputs[0]};
  }
  static std::vector<Tensor> backward(Context& context, const std::vector<Tensor>& gradients) {
    const Tensor& x = context.saved()[0];
    return {gradients[0] * x * x * std::any_cast<double>(context.data.at("factor"))};
  }
};

struct SumAndDifference : autograd::Function<SumAndDifference> {
  static constexpr const char* name = "sum_and_difference";
  static std::vector<Tensor> forward(Context&, const std::vector<Tensor>& inputs) {
    return {inputs[0] + inputs[1], inputs[0] - inputs[1]};
  }
  static std::vector<Tensor> backward(Context&, const std::vector<Tensor>& gradients) {
    return {gradients[0] + gradients[1], gradients[0] - gradients[1]};
  }
};

TEST_CASE("autograd: a user's own op, differentiated twice, with several outputs, guarded against writes") {
  const Tensor x = tensor({1.5, -0.5}, {2}, {.dtype = float64}).requires_grad_();
  const auto cube = [](const std::vector<Tensor>& inputs) { return Cube::apply(inputs)[0]; };
  CHECK(autograd::gradcheck(cube, {x}) == "");
  CHECK(autograd::gradgradcheck(cube, {x}) == "");
  CHECK(cube({x}).grad_fn_name() == "cube");

  const Tensor a = leaf({1, 2}), b = leaf({3, 4});
  const auto both = SumAndDifference::apply({a, b});
  sum(both[1] * 2).backward();  // the other output was not used: its gradient arrives as zeros
  CHECK(is(a.grad(), {2, 2}));
  CHECK(is(b.grad(), {-2, -2}));

  Tensor y = a * 1;
  const Tensor z = sum(Cube::apply({y})[0]);
  y.add_(1);
  CHECK_THROWS_WITH_AS(z.backward(), doctest::Contains("that cube saved was written in place"), Error);
}

TEST_CASE("autograd: gradcheck explains a wrong gradient") {
  struct Wrong : autograd::Function<Wrong> {
    static std::vector<Tensor> forward(Context&, const std::vector<Tensor>& inputs) {
      return {inputs[0] * 2};
    }
    static std::vector<Tensor> backward(Context&, const std::vector<Tensor>& gradients) {
      return {gradients[0] * 3};
    }
  };
  const Tensor x = tensor({1.0, 2.0}, {2}, {.dtype = float64}).requires_grad_();
  const auto wrong = [](const std::vector<Tensor>& inputs) {
    return autograd::apply_function("wrong", inputs, Wrong::forward, Wrong::backward)[0];
  };
  const std::string report = autograd::gradcheck(wrong, {x});
  CHECK(report.starts_with("d output[0] / d input 0[0]: backward gives 3, finite differences give 2"));
}

/// exp(x)^2 + x: saves exp(x), which is neither input nor output, or returns that too.
struct Between : autograd::Function<Between> {
  static constexpr const char* name = "between";
  static std::vector<Tensor> forward(Context& context, const std::vector<Tensor>& inputs) {
    const Tensor middle = exp(inputs[0]);
    context.save_for_backward({inputs[0], middle, inputs[0] > 0, Tensor()});
    return {middle * middle + inputs[0]};
  }
  static std::vector<Tensor> backward(Context& context, const std::vector<Tensor>& gradients) {
    return {gradients[0] * (square(context.saved()[1]) * 2 + 1)};
  }
};
struct BetweenReturned : autograd::Function<BetweenReturned> {
  static constexpr const char* name = "between_returned";
  static std::vector<Tensor> forward(Context& context, const std::vector<Tensor>& inputs) {
    const Tensor middle = exp(inputs[0]);
    context.save_for_backward({middle, inputs[0] > 0});
    context.data["one"] = ones_like(middle);
    return {middle * middle + inputs[0], middle};
  }
  static std::vector<Tensor> backward(Context& context, const std::vector<Tensor>& gradients) {
    const Tensor& middle = context.saved()[0];
    const auto& one = std::any_cast<const Tensor&>(context.data.at("one"));
    return {gradients[0] * (square(middle) * 2 + one) + gradients[1] * middle};
  }
};

TEST_CASE("autograd: a second derivative through what a user's op saved in between is an error, not wrong") {
  const Tensor x = tensor({0.3, -0.7}, {2}, {.dtype = float64}).requires_grad_();
  const auto between = [](const std::vector<Tensor>& inputs) { return Between::apply(inputs)[0]; };
  CHECK(autograd::gradcheck(between, {x}) == "");
  CHECK_THROWS_WITH_AS(
      autograd::grad({sum(between({x}))}, {x}, {.create_graph = true}),
      "between: create_graph cannot differentiate saved tensor 1 of shape [2], which is neither an input nor "
      "an output of forward; compute it in backward from saved inputs, or return it as an output too (a "
      "constant goes into context.data)",
      Error);
  const auto returned = [](const std::vector<Tensor>& inputs) { return BetweenReturned::apply(inputs)[0]; };
  CHECK(autograd::gradcheck(returned, {x}) == "");
  CHECK(autograd::gradgradcheck(returned, {x}) == "");
}

/// Its gradient has another dtype than its input, and the second input may be undefined.
struct Careless : autograd::Function<Careless> {
  static constexpr const char* name = "careless";
  static std::vector<Tensor> forward(Context&, const std::vector<Tensor>& inputs) { return {inputs[0] * 2}; }
  static std::vector<Tensor> backward(Context&, const std::vector<Tensor>& gradients) {
    return {gradients[0].to(float64) * 2, Tensor()};
  }
};

TEST_CASE("autograd: a user's op may have an undefined input, and its gradients take the inputs' dtypes") {
  const Tensor x = zeros({1000}, {.requires_grad = true});
  Careless::apply({tanh(x), Tensor()})[0].sum().backward();
  CHECK(equal(x.grad(), full({1000}, 2.0f)));
}

/// Returns its result twice.
struct Twin : autograd::Function<Twin> {
  static constexpr const char* name = "twin";
  static std::vector<Tensor> forward(Context&, const std::vector<Tensor>& inputs) {
    const Tensor y = inputs[0] * 1;
    return {y, y};
  }
  static std::vector<Tensor> backward(Context&, const std::vector<Tensor>& gradients) {
    return {gradients[0] + gradients[1] * 10};
  }
};

TEST_CASE("autograd: a tensor that a user's op returns twice is two outputs") {
  const Tensor x = leaf({1});
  const std::vector<Tensor> y = Twin::apply({x});
  (y[0] * 2 + y[1] * 3).sum().backward();
  CHECK(is(x.grad(), {32}));
}

}  // namespace
}  // namespace miniparallel
