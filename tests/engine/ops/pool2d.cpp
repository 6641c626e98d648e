#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

namespace miniparallel {
namespace {

using doctest::Contains;

/// The definition of both poolings, by slices: the windows of `x` padded with `border`.
Tensor windows_of(const Tensor& x, std::int64_t i, std::int64_t j, Size2 kernel, Size2 stride, Size2 padding,
                  double border) {
  Tensor padded = full({x.size(0), x.size(1), x.size(2) + 2 * padding.height, x.size(3) + 2 * padding.width},
                       border, {.dtype = x.dtype()});
  padded.narrow(2, padding.height, x.size(2)).narrow(3, padding.width, x.size(3)).copy_(x);
  return padded.narrow(2, i * stride.height, kernel.height).narrow(3, j * stride.width, kernel.width);
}

struct Case {
  std::int64_t h, w;
  Size2 kernel;
  Pool2dOptions options;
};

const Case kCases[] = {
    {8, 8, 2, {}},
    {9, 7, 2, {}},
    {2, 2, 2, {}},
    {25, 70, 2, {}},
    {8, 9, 3, {.stride = 1, .padding = 1}},
    {7, 11, {3, 2}, {.stride = Size2{2, 1}, .padding = {1, 0}}},
    {6, 6, 2, {.stride = 3}},
    {5, 5, 5, {}},
    {20, 18, 17, {.stride = 1}},  // more than 256 elements in a window
    {4, 4, 1, {}},
};

TEST_CASE("pool2d: values and gradients against the definition") {
  manual_seed(1);
  for (const DType dtype : {float32, float64})
    for (const Case& c : kCases) {
      CAPTURE(c.h);
      CAPTURE(c.w);
      CAPTURE(c.kernel.height);
      const Tensor values = randn({2, 3, c.h, c.w}, {.dtype = dtype});
      const Size2 stride = c.options.stride.value_or(c.kernel);
      Tensor x = values.clone().requires_grad_(), z = values.clone().requires_grad_();
      const Tensor maxima = max_pool2d(x, c.kernel, c.options), means = avg_pool2d(z, c.kernel, c.options);
      {
        const NoGradGuard guard;
        CHECK(equal(max_pool2d(x, c.kernel, c.options), maxima.detach()));
      }
      const Tensor g = randn(maxima.shape(), {.dtype = dtype});
      maxima.backward(g);
      means.backward(g);
      Tensor of_max = zeros_like(values), of_mean = zeros_like(values);
      for (std::int64_t i = 0; i < g.size(2); ++i)
        for (std::int64_t j = 0; j < g.size(3); ++j) {
          const auto at = [&](const Tensor& t) { return t.detach().select(3, j).select(2, i); };
          const Size2 padding = c.options.padding;
          const Tensor padded = windows_of(values, i, j, c.kernel, stride, padding, -1e30);
          const Tensor top = amax(padded, {2, 3}, true);
          CHECK(equal(top.squeeze(3).squeeze(2), at(maxima)));
          const Tensor mean_here = mean(windows_of(values, i, j, c.kernel, stride, padding, 0), {2, 3});
          CHECK(allclose(mean_here, at(means), 1e-5, 1e-6));
          // Add this window's gradients through a padded image.
          for (const bool is_max : {true, false}) {
            Tensor image = zeros({2, 3, c.h + 2 * padding.height, c.w + 2 * padding.width}, {.dtype = dtype});
            Tensor part = image.narrow(2, i * stride.height, c.kernel.height)
                              .narrow(3, j * stride.width, c.kernel.width);
            const Tensor gradient = at(g).unsqueeze(2).unsqueeze(3);
            const double area = static_cast<double>(c.kernel.height * c.kernel.width);
            part.copy_(is_max ? where(padded == top, gradient, zeros_like(gradient)) : gradient / area);
            (is_max ? of_max : of_mean)
                .add_(image.narrow(2, padding.height, c.h).narrow(3, padding.width, c.w));
          }
        }
      CHECK(allclose(x.grad(), of_max, 1e-5, 1e-6));
      CHECK(allclose(z.grad(), of_mean, 1e-5, 1e-6));
    }
}

TEST_CASE("max_pool2d: a NaN wins, of equal maxima the first, and all of minus infinity has a place") {
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  for (const Pool2dOptions& options : {Pool2dOptions{}, Pool2dOptions{.stride = {2, 3}}}) {  // fast, general
    Tensor x = tensor({nan, 1.f, 5.f, 5.f, 2.f, nan, 5.f, 5.f}, {1, 1, 2, 4}).requires_grad_();
    const Tensor y = max_pool2d(x, 2, options);
    CHECK(std::isnan(y.detach().to_vector<float>()[0]));
    y.backward(ones_like(y));
    const bool fast = !options.stride.has_value();
    const std::vector<float> expected =
        fast ? std::vector<float>{0, 0, 1, 0, 0, 1, 0, 0} : std::vector<float>{0, 0, 0, 0, 0, 1, 0, 0};
    CHECK(x.grad().to_vector<float>() == expected);
    Tensor low = full({1, 1, 2, 2}, -infinity, {.requires_grad = true});
    max_pool2d(low, 2, options).backward(ones({1, 1, 1, 1}));
    CHECK(low.grad().to_vector<float>() == std::vector<float>{1, 0, 0, 0});
  }
}

TEST_CASE("adaptive_avg_pool2d: PyTorch's bins") {
  const Tensor x = arange(7, {.dtype = float64}).view({1, 1, 1, 7});
  // Bins of 7 in 3: [0, 3), [2, 5), [4, 7).
  CHECK(adaptive_avg_pool2d(x, {1, 3}).to_vector<double>() == std::vector<double>{1, 3, 5});
  CHECK(adaptive_avg_pool2d(x, {1, 7}).to_vector<double>() == x.to_vector<double>());
  // More outputs than elements repeat: bins [0, 1), [0, 2), [1, 2) for 2 in 3.
  CHECK(adaptive_avg_pool2d(x.narrow(3, 0, 2), {1, 3}).to_vector<double>() == std::vector<double>{0, 0.5, 1});
  manual_seed(2);
  const Tensor image = randn({3, 4, 9, 6}, {.dtype = float64});
  CHECK(allclose(adaptive_avg_pool2d(image, 1), mean(image, {2, 3}, true), 1e-12, 1e-12));
  CHECK(allclose(adaptive_avg_pool2d(image, 3), avg_pool2d(image, {3, 2}), 1e-12, 1e-12));
}

TEST_CASE("pool2d: first and second derivatives, also of views") {
  manual_seed(3);
  const std::vector<Tensor> inputs{randn({5, 6, 2, 2}, {.dtype = float64, .requires_grad = true})};
  const auto check = [&](auto pool) {
    const auto function = [&](const std::vector<Tensor>& in) {
      const Tensor y = pool(in[0].permute({2, 3, 0, 1}));
      return y * y;
    };
    CHECK(autograd::gradcheck(function, inputs) == "");
    CHECK(autograd::gradgradcheck(function, inputs) == "");
  };
  check([](const Tensor& x) { return max_pool2d(x, 2); });
  check([](const Tensor& x) { return max_pool2d(x, 3, {.stride = 1, .padding = 1}); });
  check([](const Tensor& x) { return avg_pool2d(x, {3, 2}, {.stride = Size2{1, 2}, .padding = {1, 0}}); });
  check([](const Tensor& x) { return adaptive_avg_pool2d(x, {2, 4}); });
}

TEST_CASE("pool2d: gradients are added to those that are there") {
  manual_seed(4);
  Tensor x = randn({2, 2, 6, 6}, {.requires_grad = true});
  const auto gradient = [&](const Tensor& y) {
    x.set_grad({});
    sum(y).backward();
    return x.grad();
  };
  const Tensor apart =
      gradient(max_pool2d(x, 2)) + gradient(avg_pool2d(x, 3)) + gradient(adaptive_avg_pool2d(x, 4));
  const Tensor joined =
      gradient(sum(max_pool2d(x, 2)) + sum(avg_pool2d(x, 3)) + sum(adaptive_avg_pool2d(x, 4)));
  CHECK(allclose(apart, joined, 1e-6, 1e-6));
}

TEST_CASE("pool2d: empty batches and errors") {
  CHECK(max_pool2d(zeros({0, 3, 4, 4}), 2).shape() == Shape{0, 3, 2, 2});
  const Tensor x = zeros({2, 3, 4, 4});
  CHECK_THROWS_WITH_AS(max_pool2d(x[0], 2), Contains("(n, channels, height, width)"), Error);
  CHECK_THROWS_WITH_AS(max_pool2d(x, 5), Contains("does not fit"), Error);
  CHECK_THROWS_WITH_AS(max_pool2d(x, 2, {.padding = 2}), Contains("half"), Error);
  CHECK_THROWS_WITH_AS(avg_pool2d(x, 0), Contains("kernel 0 x 0"), Error);
  CHECK_THROWS_WITH_AS(avg_pool2d(x, 2, {.stride = 0}), Contains("stride"), Error);
  CHECK_THROWS_WITH_AS(adaptive_avg_pool2d(x, 0), Contains("output"), Error);
  CHECK_THROWS_WITH_AS(max_pool2d(x.to(int32), 2), Contains("int32"), Error);
}

}  // namespace
}  // namespace miniparallel
