#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>

namespace miniparallel {
namespace {

struct Case {
  std::int64_t n, in, h, w, out, kh, kw;
  Conv2dOptions options;
};

struct Gradients {
  Tensor y, dx, dweight, dbias;
};

/// The definition, term by term, in float64.
Gradients by_definition(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& g,
                        const Conv2dOptions& o) {
  const std::int64_t in = weight.size(1), out = weight.size(0), per_group = out / o.groups;
  Gradients r{zeros(g.shape(), {.dtype = float64}), zeros(x.shape(), {.dtype = float64}),
              zeros(weight.shape(), {.dtype = float64}), zeros({out}, {.dtype = float64})};
  const auto at = [](const Tensor& t, std::int64_t a, std::int64_t b, std::int64_t c, std::int64_t d) {
    return ((a * t.size(1) + b) * t.size(2) + c) * t.size(3) + d;
  };
  const double *px = x.data<double>(), *pw = weight.data<double>(), *pg = g.data<double>();
  double *py = r.y.data<double>(), *pdx = r.dx.data<double>(), *pdw = r.dweight.data<double>();
  for (std::int64_t n = 0; n < x.size(0); ++n)
    for (std::int64_t c = 0; c < out; ++c)
      for (std::int64_t i = 0; i < g.size(2); ++i)
        for (std::int64_t j = 0; j < g.size(3); ++j) {
          const std::int64_t to = at(g, n, c, i, j);
          py[to] = bias.data<double>()[c];
          r.dbias.data<double>()[c] += pg[to];
          for (std::int64_t k = 0; k < in; ++k)
            for (std::int64_t a = 0; a < weight.size(2); ++a)
              for (std::int64_t b = 0; b < weight.size(3); ++b) {
                const std::int64_t row = i * o.stride.height - o.padding.height + a * o.dilation.height;
                const std::int64_t column = j * o.stride.width - o.padding.width + b * o.dilation.width;
                if (row < 0 || row >= x.size(2) || column < 0 || column >= x.size(3)) continue;
                const std::int64_t from = at(x, n, c / per_group * in + k, row, column);
                const std::int64_t tap = at(weight, c, k, a, b);
                py[to] += px[from] * pw[tap];
                pdx[from] += pg[to] * pw[tap];
                pdw[tap] += pg[to] * px[from];
              }
        }
  return r;
}

double worst(const Tensor& a, const Tensor& b) {
  if (a.numel() == 0) return 0;
  const Tensor wide = a.to(float64);
  return amax(abs(wide - b)).item() / (1e-300 + amax(abs(b)).item());
}

void check_case(const Case& c, DType dtype, double tolerance) {
  const TensorOptions wide{.dtype = float64};
  const auto make = [&](const Shape& shape) { return randn(shape, wide).to(dtype).requires_grad_(); };
  Tensor x = make({c.n, c.in, c.h, c.w}), bias = make({c.out});
  Tensor weight = make({c.out, c.in / c.options.groups, c.kh, c.kw});
  const Tensor y = conv2d(x, weight, bias, c.options);
  const Tensor g = randn(y.shape(), wide).to(dtype);
  y.backward(g);
  const auto detached = [](const Tensor& t) { return t.detach().to(float64); };
  const Gradients expected =
      by_definition(detached(x), detached(weight), detached(bias), detached(g), c.options);
  CAPTURE(to_string(x.shape()));
  CAPTURE(to_string(weight.shape()));
  CAPTURE(c.options.stride.height);
  CAPTURE(c.options.padding.width);
  CAPTURE(c.options.groups);
  CHECK(worst(y.detach(), expected.y) < tolerance);
  CHECK(worst(x.grad(), expected.dx) < tolerance);
  CHECK(worst(weight.grad(), expected.dweight) < tolerance);
  CHECK(worst(bias.grad(), expected.dbias) < tolerance);
  // The gradient of the data, added to what is there.
  const Conv2dOptions& o = c.options;
  const auto rest = [](std::int64_t size, std::int64_t padding, std::int64_t reach, std::int64_t stride) {
    return (size + 2 * padding - reach) % stride;
  };
  const Size2 left{rest(c.h, o.padding.height, o.dilation.height * (c.kh - 1) + 1, o.stride.height),
                   rest(c.w, o.padding.width, o.dilation.width * (c.kw - 1) + 1, o.stride.width)};
  const Tensor shift = make({c.in}).detach();
  const Tensor sum = conv_transpose2d(g, weight.detach(), shift,
                                      {.stride = o.stride,
                                       .padding = {o.padding.height, o.padding.width},
                                       .output_padding = left,
                                       .groups = o.groups,
                                       .dilation = o.dilation});
  CHECK(worst(sum, expected.dx + detached(shift).view({1, c.in, 1, 1})) < tolerance);
}

TEST_CASE("conv2d: chosen geometries against the definition") {
  manual_seed(1);
  const Case cases[] = {
      {2, 1, 28, 28, 32, 3, 3, {}},
      {2, 32, 13, 13, 64, 3, 3, {}},
      {3, 5, 9, 7, 17, 3, 2, {.stride = {2, 1}, .padding = {1, 0}}},
      {2, 4, 11, 11, 6, 3, 3, {.stride = 2, .padding = 1, .dilation = 2, .groups = 2}},
      {2, 6, 10, 9, 6, 3, 3, {.padding = 1, .groups = 6}},  // depthwise
      {2, 4, 7, 45, 4, 3, 7, {.padding = {1, 3}, .groups = 4}},
      {2, 4, 9, 34, 8, 2, 5, {.stride = {2, 1}, .padding = 1, .dilation = {1, 2}, .groups = 4}},
      {1, 3, 4, 20, 3, 1, 1, {.groups = 3}},
      {2, 2, 5, 32, 3, 3, 3, {}},
      {2, 6, 10, 9, 12, 3, 3, {.stride = 2, .padding = {2, 1}, .dilation = {1, 2}, .groups = 6}},
      {1, 3, 5, 5, 4, 1, 1, {.stride = 3}},  // positions that no output reads
      {2, 3, 1, 1, 2, 1, 1, {}},
      {1, 2, 3, 3, 40, 3, 3, {}},              // one output pixel
      {20, 2, 6, 6, 3, 5, 5, {.padding = 4}},  // padding beyond the kernel's reach
      {1, 64, 6, 5, 7, 3, 3, {}},              // more taps than a tile takes at once
      {1, 40, 5, 6, 35, 3, 3, {.padding = 1}},
      {0, 3, 6, 6, 4, 3, 3, {}},
  };
  for (const Case& c : cases) {
    check_case(c, float64, 1e-13);
    check_case(c, float32, 1e-5);
  }
}

TEST_CASE("conv2d: few channels on either side against the definition") {
  manual_seed(6);
  const Case cases[] = {
      {2, 3, 21, 37, 9, 7, 7, {.stride = 2, .padding = 3}},
      {1, 3, 30, 45, 7, 11, 11, {.stride = 4, .padding = 2}},
      {2, 3, 32, 32, 5, 16, 16, {.stride = 16}},
      {1, 2, 9, 40, 8, 2, 3, {.stride = {5, 7}}},                 // positions that no output reads
      {1, 1, 12, 70, 4, 3, 4, {.stride = {2, 3}, .padding = 5}},  // padding beyond the kernel's reach
      {2, 3, 10, 33, 4, 3, 3, {.stride = {3, 2}, .padding = {2, 4}, .dilation = {2, 3}}},
      {1, 6, 6, 64, 12, 4, 4, {.stride = 2, .padding = 1, .groups = 3}},
      {2, 8, 7, 50, 8, 3, 5, {.stride = {1, 4}, .padding = 2, .dilation = 2, .groups = 8}},
      {2, 5, 20, 24, 8, 3, 3, {.padding = 1}},
      {1, 6, 5, 18, 7, 1, 1, {.stride = {1, 2}}},
      {1, 9, 8, 61, 4, 3, 3, {.stride = {2, 3}, .padding = {1, 2}}},
      {1, 7, 6, 40, 5, 5, 2, {.stride = 2, .dilation = {1, 3}}},
      {1, 4, 19, 35, 1, 3, 3, {}},
      {2, 4, 19, 35, 6, 3, 3, {.padding = 1, .groups = 2}},
      {1, 3, 30, 1, 6, 3, 1, {.padding = {1, 0}}},  // rows shorter than there are channels
      {1, 2, 3, 40, 1, 3, 40, {.stride = {1, 1000000000}}},
      {1, 2, 40, 3, 1, 40, 3, {.stride = {1000000000, 1}}},
      {2, 3, 6, 3, 3, 2, 3, {.padding = {1, 12}, .dilation = {1, 4}, .groups = 3}},  // long rows of zeros
      {1, 2, 5, 12, 1, 3, 3, {.padding = {1, 4}}},
      {0, 2, 8, 20, 2, 3, 3, {.stride = 2}},
  };
  for (const Case& c : cases) {
    check_case(c, float64, 1e-13);
    check_case(c, float32, 1e-5);
  }
}

TEST_CASE("conv2d: kernels of 3 x 3 over many channels against the definition") {
  manual_seed(7);
  const Case cases[] = {
      {3, 16, 8, 8, 16, 3, 3, {.padding = 1}},
      {21, 17, 5, 7, 33, 3, 3, {.padding = {0, 1}}},  // several images at once, and in parts
      {2, 40, 9, 4, 16, 3, 3, {.padding = {2, 0}}},
      {2, 16, 3, 6, 24, 3, 3, {.padding = 2}},
      {1, 20, 4, 151, 19, 3, 3, {}},  // a row of many tiles
      {2, 64, 11, 10, 68, 3, 3, {.padding = 1, .groups = 2}},
      {2, 150, 6, 5, 18, 3, 3, {.padding = {1, 2}}},
      {1, 16, 3, 3, 16, 3, 3, {.padding = 3}},
      {0, 16, 6, 6, 16, 3, 3, {}},
  };
  for (const Case& c : cases) {
    check_case(c, float64, 1e-13);
    check_case(c, float32, 1e-5);
  }
}

TEST_CASE("conv2d: strides in long rows against the definition") {
  manual_seed(8);
  const Case cases[] = {
      {2, 16, 5, 210, 9, 3, 3, {.stride = 2, .padding = 1}},
      {1, 20, 4, 130, 7, 2, 2, {.stride = {1, 3}, .padding = {0, 1}}},
      {1, 9, 7, 99, 17, 3, 3, {.stride = {3, 1}, .padding = 1, .dilation = 2}},
      {1, 14, 3, 250, 8, 1, 1, {.stride = {2, 120}, .groups = 2}},
  };
  for (const Case& c : cases) {
    check_case(c, float64, 1e-13);
    check_case(c, float32, 1e-5);
  }
}

TEST_CASE("conv2d: random geometries against the definition") {
  manual_seed(2);
  const std::vector<std::int64_t> r = randint(0, 1000, {120 * 13}).to_vector<std::int64_t>();
  std::size_t at = 0;
  const auto pick = [&](std::int64_t low, std::int64_t high) { return low + r[at++] % (high - low + 1); };
  int cases = 0;
  for (int i = 0; i < 120; ++i) {
    Case c{};
    c.options.groups = pick(1, 3);
    c.options.stride = {pick(1, 3), pick(1, 3)};
    c.options.padding = {pick(0, 3), pick(0, 3)};
    c.options.dilation = {pick(1, 3), pick(1, 2)};
    c.n = pick(1, 3);
    c.in = pick(1, 4) * c.options.groups;
    c.out = pick(1, 10) * c.options.groups;
    c.h = pick(1, 11);
    c.w = 12 - c.h;
    c.kh = pick(1, 4);
    c.kw = pick(1, 4);
    const bool fits = c.h + 2 * c.options.padding.height > c.options.dilation.height * (c.kh - 1) &&
                      c.w + 2 * c.options.padding.width > c.options.dilation.width * (c.kw - 1);
    if (!fits) continue;
    ++cases;
    check_case(c, float64, 1e-13);
  }
  CHECK(cases > 80);
}

TEST_CASE("conv2d: results do not depend on the number of threads") {
  const int threads = num_threads();
  const auto run = [](std::int64_t channels, int count) {
    set_num_threads(count);
    manual_seed(3);
    Tensor x = randn({10, channels, 12, 12}, {.requires_grad = true});
    Tensor weight = randn({20, channels, 3, 3}, {.requires_grad = true});
    Tensor bias = randn({20}, {.requires_grad = true});
    const Tensor y = conv2d(x, weight, bias, {.padding = 1});
    y.backward(randn(y.shape()));
    return std::vector<Tensor>{y.detach(), x.grad(), weight.grad(), bias.grad()};
  };
  for (const std::int64_t channels : {3, 24}) {
    const std::vector<Tensor> one = run(channels, 1), two = run(channels, 2), five = run(channels, 5);
    for (std::size_t i = 0; i < one.size(); ++i) {
      CHECK(equal(one[i], two[i]));
      CHECK(equal(one[i], five[i]));
    }
  }
  set_num_threads(threads);
}

TEST_CASE("conv2d: gradients add up where a filter is used twice, and views go in") {
  manual_seed(4);
  const TensorOptions wide{.dtype = float64, .requires_grad = true};
  Tensor x = randn({6, 2, 8, 3}, wide), weight = randn({3, 3, 3, 2}, wide), bias = randn({2}, wide);
  const Tensor image = x.permute({1, 3, 2, 0}),
               filter = weight.transpose(0, 3);  // (2, 3, 8, 6), (2, 3, 3, 3)
  const Tensor y = conv2d(image, filter, bias) + conv2d(image * 2, filter, bias);
  const Tensor expected =
      conv2d(image.contiguous() * 3, filter.contiguous(), bias * 2 / 3) + bias.view({2, 1, 1}) * 4 / 3;
  CHECK(allclose(y, expected, 1e-12, 1e-12));
  const Tensor g = randn(y.shape(), {.dtype = float64});
  const std::vector<Tensor> one =
      autograd::grad({y}, {x, weight, bias}, {.gradients = {g}, .retain_graph = true});
  const std::vector<Tensor> other = autograd::grad({expected}, {x, weight, bias}, {.gradients = {g}});
  for (std::size_t i = 0; i < one.size(); ++i) CHECK(allclose(one[i], other[i], 1e-12, 1e-12));
}

TEST_CASE("conv2d: first and second derivatives") {
  manual_seed(5);
  const TensorOptions wide{.dtype = float64, .requires_grad = true};
  const Case cases[] = {{2, 4, 5, 4, 6, 3, 2, {.stride = {2, 1}, .padding = 1, .groups = 2}},
                        {1, 3, 6, 5, 3, 2, 2, {.padding = {0, 1}, .dilation = 2, .groups = 3}},
                        {2, 2, 4, 4, 3, 3, 3, {}}};
  for (const Case& c : cases) {
    const std::vector<Tensor> inputs{randn({c.n, c.in, c.h, c.w}, wide),
                                     randn({c.out, c.in / c.options.groups, c.kh, c.kw}, wide),
                                     randn({c.out}, wide)};
    const auto function = [&](const std::vector<Tensor>& in) {
      return conv2d(in[0], in[1], in[2], c.options);
    };
    CHECK(autograd::gradcheck(function, inputs) == "");
    CHECK(autograd::gradgradcheck(function, inputs) == "");
  }
}

TEST_CASE("conv2d: what only the other gradient reads may be written before backward") {
  Tensor x = ones({1, 1, 3, 3}), weight = ones({1, 1, 2, 2}, {.requires_grad = true});
  const Tensor y = conv2d(x, weight);
  {
    const NoGradGuard guard;
    weight.mul_(2);  // read by the gradient of x alone, which nobody wants
  }
  sum(y).backward();
  CHECK(sum(weight.grad()).item() == 16);
}

TEST_CASE("conv2d: errors name what does not fit") {
  const Tensor x = zeros({2, 4, 8, 8}), weight = zeros({6, 4, 3, 3});
  using doctest::Contains;
  CHECK_THROWS_WITH_AS(conv2d(x[0], weight), Contains("unsqueeze(0)"), Error);
  CHECK_THROWS_WITH_AS(conv2d(x, zeros({6, 3, 3, 3})), Contains("needs 3"), Error);
  CHECK_THROWS_WITH_AS(conv2d(x, weight, zeros({5})), Contains("must be [6]"), Error);
  CHECK_THROWS_WITH_AS(conv2d(x, weight, {}, {.groups = 4}), Contains("4 groups"), Error);
  CHECK_THROWS_WITH_AS(conv2d(x, weight, {}, {.stride = 0}), Contains("stride 0"), Error);
  CHECK_THROWS_WITH_AS(conv2d(x, weight, {}, {.padding = {0, -1}}), Contains("padding 0 x -1"), Error);
  CHECK_THROWS_WITH_AS(conv2d(x, weight, {}, {.dilation = 4}), Contains("does not fit"), Error);
  CHECK_THROWS_WITH_AS(conv2d(x, weight.to(float64)), Contains("float64"), Error);
  CHECK_THROWS_WITH_AS(conv2d(x.to(int64), weight.to(int64)), Contains("int64"), Error);
}

}  // namespace
}  // namespace miniparallel
