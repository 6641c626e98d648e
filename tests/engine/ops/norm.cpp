#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

#include <cmath>

namespace miniparallel {
namespace {

using doctest::Contains;

/// The definition, with differentiable ops.
Tensor by_definition(const Tensor& x, const Shape& dims, const Tensor& weight, const Tensor& bias,
                     double eps) {
  const Tensor centered = x - mean(x, dims, true);
  return centered / sqrt(mean(centered * centered, dims, true) + eps) * weight + bias;
}

/// y and the gradients of the inputs agree.
void check_same(const Tensor& y, const Tensor& expected, const std::vector<Tensor>& inputs,
                double tolerance) {
  const Tensor g = randn(y.shape(), {.dtype = y.dtype()});
  const std::vector<Tensor> got = autograd::grad({y}, inputs, {.gradients = {g}, .retain_graph = true});
  const std::vector<Tensor> wanted =
      autograd::grad({expected}, inputs, {.gradients = {g}, .retain_graph = true});
  CHECK(allclose(y.detach(), expected.detach(), tolerance, tolerance));
  for (std::size_t i = 0; i < inputs.size(); ++i) CHECK(allclose(got[i], wanted[i], tolerance, tolerance));
}

Shape channel_shape(int rank, std::int64_t channels) {
  Shape shape = Shape::filled(rank, 1);
  shape[1] = channels;
  return shape;
}

TEST_CASE("batch_norm: values, gradients and running statistics against the definition") {
  manual_seed(1);
  const Shape shapes[] = {{5, 3}, {40, 37},  {2, 3, 1}, {4, 2, 5, 7}, {3, 20, 9, 9}, {1, 1, 4, 4}, {101, 1},
                          {7, 2}, {150, 15}, {9, 16},   {9, 17},      {5, 63},       {5, 64},      {5, 65}};
  for (const DType dtype : {float32, float64})
    for (const Shape& shape : shapes) {
      CAPTURE(to_string(shape));
      const TensorOptions leaf{.dtype = dtype, .requires_grad = true}, plain{.dtype = dtype};
      const std::int64_t channels = shape[1], count = shape.numel() / channels;
      Tensor x = (randn(shape, plain) * 2 + 3).requires_grad_();
      Tensor weight = randn({channels}, leaf), bias = randn({channels}, leaf);
      Tensor running_mean = randn({channels}, plain), running_var = rand({channels}, plain) + 0.5;
      const Tensor old_mean = running_mean.clone(), old_var = running_var.clone();
      Shape dims{0};
      for (int i = 2; i < shape.rank(); ++i) dims.push_back(i);
      const Shape wide = channel_shape(shape.rank(), channels);
      const double tolerance = dtype == float32 ? 2e-4 : 1e-11;

      const Tensor y =
          batch_norm(x, weight, bias, running_mean, running_var, {.training = true, .momentum = 0.3});
      check_same(y, by_definition(x, dims, weight.view(wide), bias.view(wide), 1e-5), {x, weight, bias},
                 tolerance);
      const Tensor values = x.detach();
      CHECK(allclose(running_mean, old_mean * 0.7 + mean(values, dims) * 0.3, tolerance, tolerance));
      CHECK(allclose(running_var, old_var * 0.7 + var(values, dims, true) * 0.3, tolerance, tolerance));
      CHECK(count > 1);

      const Tensor fixed_mean = running_mean.clone(), fixed_var = running_var.clone();
      const Tensor z = batch_norm(x, weight, bias, running_mean, running_var);
      const Tensor normal = (x - fixed_mean.view(wide)) / sqrt(fixed_var.view(wide) + 1e-5);
      check_same(z, normal * weight.view(wide) + bias.view(wide), {x, weight, bias}, tolerance);
      CHECK(equal(running_mean, fixed_mean));
      check_same(batch_norm(x, {}, {}, running_mean, running_var), normal, {x}, tolerance);
      check_same(batch_norm(x, {}, {}, {}, {}, {.training = true}),
                 by_definition(x, dims, ones({}, plain), zeros({}, plain), 1e-5), {x}, tolerance);
    }
}

TEST_CASE("batch_norm: a residual and an activation are those ops") {
  manual_seed(4);
  for (const DType dtype : {float32, float64})
    for (const Shape& shape : {Shape{5, 3}, {40, 37}, {4, 2, 5, 7}, {3, 20, 9, 9}})
      for (const bool with_residual : {false, true})
        for (const Activation activation : {Activation::none, Activation::relu})
          for (const bool training : {false, true}) {
            INFO(to_string(shape), " ", dtype, ", residual: ", with_residual,
                 ", relu: ", activation == Activation::relu, ", training: ", training);
            const TensorOptions leaf{.dtype = dtype, .requires_grad = true};
            const Shape channels{shape[1]};
            const Tensor x = randn(shape, leaf), residual = randn(shape, leaf);
            const Tensor weight = randn(channels, leaf), bias = randn(channels, leaf);
            const Tensor mean = randn(channels, {.dtype = dtype}),
                         variance = rand(channels, {.dtype = dtype});
            const auto normalise = [&](const BatchNormOptions& options) {
              return batch_norm(x, weight, bias, mean.clone(), variance.clone(), options);
            };
            BatchNormOptions options{.training = training, .activation = activation};
            std::vector<Tensor> inputs{x, weight, bias};
            Tensor expected = normalise({.training = training});
            if (with_residual) {
              options.residual = residual;
              expected = expected + residual;
              inputs.push_back(residual);
            }
            if (activation == Activation::relu) expected = relu(expected);
            check_same(normalise(options), expected, inputs, dtype == float32 ? 1e-5 : 1e-13);
            const NoGradGuard no_grad;
            CHECK(allclose(normalise(options), expected.detach(), 1e-6, 1e-6));
          }

  const Tensor x = randn({4, 3});
  const auto with = [&](const BatchNormOptions& options) { return batch_norm(x, {}, {}, {}, {}, options); };
  CHECK_THROWS_WITH_AS(with({.training = true, .activation = Activation::gelu_tanh}),
                       Contains("none or relu"), Error);
  CHECK_THROWS_WITH_AS(with({.training = true, .residual = zeros({4, 1})}),
                       Contains("the residual has shape [4, 1]"), Error);
  const nn::BatchNorm1d layer(3, {.activation = Activation::relu}), plain(3);
  CHECK(allclose(layer(x, x), relu(plain(x) + x), 1e-6, 1e-6));
}

TEST_CASE("add_layer_norm: dropout, sum and layer_norm as ops of their own") {
  for (const DType dtype : {float32, float64})
    for (const std::int64_t width : {3, 48, 300})
      for (const double p : {0.0, 0.3, 1.0})
        for (const int used : {1, 2, 3}) {  // y, the sum, both
          INFO(dtype, ", width ", width, ", dropout ", p, ", used: ", used);
          manual_seed(6);
          const TensorOptions leaf{.dtype = dtype, .requires_grad = true};
          const Tensor x = randn({4, 5, width}, leaf), residual = randn({4, 5, width}, leaf);
          const Tensor weight = randn({width}, leaf), bias = randn({width}, leaf);
          const auto result = [&](const Tensor& y, const Tensor& sum) {
            return used == 1 ? y : used == 2 ? sum : y + sum * 0.5;
          };
          manual_seed(7);
          const AddNorm made = add_layer_norm(x, residual, {width}, weight, bias, {.dropout = p});
          manual_seed(7);
          const Tensor sum = residual + dropout(x, p);
          std::vector<Tensor> inputs{x, residual};
          if (used != 2) inputs.insert(inputs.end(), {weight, bias});
          check_same(result(made.y, made.sum), result(layer_norm(sum, {width}, weight, bias), sum), inputs,
                     dtype == float32 ? 1e-5 : 1e-13);
        }

  const Tensor x = randn({4, 6});
  CHECK_THROWS_WITH_AS(add_layer_norm(x, zeros({6}), {6}),
                       Contains("the residual [6]; both must be the same"), Error);
  CHECK_THROWS_WITH_AS(add_layer_norm(x, x, {6}, {}, {}, {.dropout = 1.5}), Contains("probability 1.5"),
                       Error);
  const nn::LayerNorm layer(6);
  CHECK(allclose(layer.add_norm(x, x).y, layer(x + x), 1e-6, 1e-6));
}

TEST_CASE("batch_norm: no channels, and the variance of no rows") {
  CHECK(batch_norm(zeros({3, 0}), {}, {}, zeros({0}), ones({0})).shape() == Shape{3, 0});
  CHECK(var(zeros({0, 4}), {1}).shape() == Shape{0});
}

TEST_CASE("batch_norm: the variance stands a large mean") {
  manual_seed(2);
  const Tensor noise = randn({64, 4, 8, 8}, {.dtype = float64});
  const Tensor x = (noise + 1000).to(float32);
  const Tensor y = batch_norm(x, {}, {}, {}, {}, {.training = true});
  const Tensor expected = batch_norm(x.to(float64), {}, {}, {}, {}, {.training = true});
  CHECK(allclose(y.to(float64), expected, 0, 1e-4));  // x is rounded to 6e-5
}

TEST_CASE("layer_norm: values and gradients against the definition") {
  manual_seed(3);
  struct Case {
    Shape shape;
    int normalized;
  };
  const Case cases[] = {{{3, 5}, 1}, {{7}, 1}, {{2, 3, 100}, 1}, {{4, 3, 5}, 2}, {{2, 2, 3}, 3}, {{5, 1}, 1}};
  for (const DType dtype : {float32, float64})
    for (const Case& one : cases) {
      CAPTURE(to_string(one.shape));
      const auto& [shape, normalized] = one;
      const TensorOptions leaf{.dtype = dtype, .requires_grad = true};
      const Shape inner(shape.end() - normalized, shape.end());
      Tensor x = randn(shape, leaf), weight = randn(inner, leaf), bias = randn(inner, leaf);
      Shape dims;
      for (int i = shape.rank() - normalized; i < shape.rank(); ++i) dims.push_back(i);
      const double tolerance = dtype == float32 ? 2e-4 : 1e-11;
      check_same(layer_norm(x, inner, weight, bias), by_definition(x, dims, weight, bias, 1e-5),
                 {x, weight, bias}, tolerance);
      check_same(layer_norm(x, inner, weight), by_definition(x, dims, weight, zeros({}), 1e-5), {x, weight},
                 tolerance);
      check_same(layer_norm(x, inner), by_definition(x, dims, ones({}), zeros({}), 1e-5), {x}, tolerance);
    }
  CHECK(layer_norm(zeros({0, 4}), {4}).shape() == Shape{0, 4});
}

TEST_CASE("norm: first and second derivatives") {
  manual_seed(4);
  const TensorOptions leaf{.dtype = float64, .requires_grad = true};
  const Tensor running_mean = randn({3}, {.dtype = float64}),
               running_var = rand({3}, {.dtype = float64}) + 0.5;
  const std::vector<Tensor> images{randn({3, 3, 2, 2}, leaf), randn({3}, leaf), randn({3}, leaf)};
  for (const bool training : {true, false}) {
    const auto function = [&](const std::vector<Tensor>& in) {
      const Tensor mean_of = training ? Tensor{} : running_mean, var_of = training ? Tensor{} : running_var;
      return batch_norm(in[0], in[1], in[2], mean_of, var_of, {.training = training});
    };
    CHECK(autograd::gradcheck(function, images) == "");
    CHECK(autograd::gradgradcheck(function, images) == "");
  }
  const std::vector<Tensor> rows{randn({3, 4, 2}, leaf), randn({4, 2}, leaf), randn({4, 2}, leaf)};
  const auto function = [](const std::vector<Tensor>& in) { return layer_norm(in[0], {4, 2}, in[1], in[2]); };
  CHECK(autograd::gradcheck(function, rows) == "");
  CHECK(autograd::gradgradcheck(function, rows) == "");
}

TEST_CASE("norm: results do not depend on the number of threads") {
  const int threads = num_threads();
  const auto run = [](int count) {
    set_num_threads(count);
    manual_seed(5);
    const TensorOptions leaf{.requires_grad = true};
    Tensor x = randn({33, 24, 7, 7}, leaf), weight = randn({24}, leaf), bias = randn({24}, leaf);
    Tensor wide = randn({300, 70}, leaf), scale = randn({70}, leaf), offset = randn({70}, leaf);
    const Tensor y = batch_norm(x, weight, bias, {}, {}, {.training = true});
    const Tensor z =
        layer_norm(batch_norm(wide, scale, offset, {}, {}, {.training = true}), {70}, scale, offset);
    autograd::backward({y, z}, {randn(y.shape()), randn(z.shape())});
    return std::vector<Tensor>{y.detach(), z.detach(), x.grad(), weight.grad(), wide.grad(), scale.grad()};
  };
  const std::vector<Tensor> one = run(1), three = run(3);
  for (std::size_t i = 0; i < one.size(); ++i) CHECK(equal(one[i], three[i]));
  set_num_threads(threads);
}

TEST_CASE("norm: errors name what does not fit") {
  const Tensor x = zeros({2, 3, 4}), three = ones({3}), two = ones({2});
  const BatchNormOptions training{.training = true};
  CHECK_THROWS_WITH_AS(batch_norm(zeros({3}), {}, {}, {}, {}, training), Contains("(n, channels, ...)"),
                       Error);
  CHECK_THROWS_WITH_AS(batch_norm(x, two, {}, {}, {}, training), Contains("weight has shape [2]"), Error);
  CHECK_THROWS_WITH_AS(batch_norm(x, {}, {}, three, {}, training), Contains("together"), Error);
  CHECK_THROWS_WITH_AS(batch_norm(x, {}, {}, {}, {}), Contains("needs running_mean"), Error);
  CHECK_THROWS_WITH_AS(batch_norm(zeros({1, 3}), {}, {}, {}, {}, training), Contains("more than one value"),
                       Error);
  CHECK_THROWS_WITH_AS(batch_norm(x, three.to(float64), {}, {}, {}, training), Contains("float64"), Error);
  CHECK_THROWS_WITH_AS(layer_norm(x, {3}), Contains("does not end in"), Error);
  CHECK_THROWS_WITH_AS(layer_norm(x, {}), Contains("does not end in"), Error);
  CHECK_THROWS_WITH_AS(layer_norm(x, {4}, three), Contains("weight has shape [3]"), Error);
}

}  // namespace
}  // namespace miniparallel
