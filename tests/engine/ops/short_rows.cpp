#include <miniparallel/miniparallel.h>

#include "tests/support/derivatives.h"

#include <algorithm>
#include <cmath>
#include <vector>

// Tensors of few columns, whose rows the kernels take many at once.

namespace miniparallel {
namespace {

using testing::check_same_for_any_threads;

/// A few sizes for each way to cut many rows into blocks.
std::vector<Tensor> short_tensors(DType dtype = float32) {
  std::vector<Tensor> list;
  for (const std::int64_t width : {1, 2, 3, 4, 7, 8, 9, 16, 17, 63})
    for (const std::int64_t rows : {0, 1, 5, 64, 257, 1031})
      list.push_back((rand({rows, width}) * 100 - 50).to(dtype));
  return list;
}

/// The row-major copy whose element i is x[order(i)], one by one.
template <class F>
std::vector<double> one_by_one(const Tensor& x, F f) {
  std::vector<double> y;
  const auto values = x.to_vector<double>();
  for (std::int64_t r = 0; r < x.size(0); ++r)
    for (std::int64_t c = 0; c < x.size(1); ++c)
      y.push_back(f(values[static_cast<std::size_t>(r * x.size(1) + c)], r, c));
  return y;
}

TEST_CASE("short rows: reductions of rows and of columns equal those of one line at a time") {
  manual_seed(3);
  for (const DType dtype : {float32, float64, int32, uint8})
    for (const Tensor& x : short_tensors(dtype)) {
      CAPTURE(to_string(x.shape()));
      for (const Tensor& view : {x, x.t(), x.t().contiguous().t()})
        for (const int dim : {0, 1}) {
          if (view.numel() == 0) {
            CHECK(equal(sum(view, dim).to(float32), zeros({view.size(1 - dim)})));
            continue;
          }
          std::vector<Tensor> sums, most, least, at;
          for (std::int64_t i = 0; i < std::min<std::int64_t>(view.size(1 - dim), 70); ++i) {
            const Tensor line = view.select(1 - dim, i).to(float64);
            sums.push_back(sum(line)), most.push_back(amax(line)), least.push_back(amin(line));
            at.push_back(argmax(line));
          }
          const std::int64_t n = std::ssize(sums);
          CHECK(allclose(sum(view, dim).narrow(0, 0, n).to(float64), stack(sums), 1e-6, 1e-3));
          CHECK(equal(amax(view, dim).narrow(0, 0, n).to(float64), stack(most)));
          CHECK(equal(amin(view, dim).narrow(0, 0, n).to(float64), stack(least)));
          CHECK(equal(argmax(view, dim).narrow(0, 0, n), stack(at)));
        }
    }
}

TEST_CASE("short rows: sums keep the order of long rows") {
  manual_seed(4);
  for (const std::int64_t width : {1, 2, 3, 4, 5, 6, 7, 8, 9, 16}) {
    const Tensor x = randn({300, width}, {.dtype = float64});
    Tensor lanes = zeros({300, 16}, {.dtype = float64});
    lanes.narrow(1, 0, width).copy_(x);
    for (std::int64_t half = 8; half > 0; half /= 2)
      lanes = lanes.narrow(1, 0, half) + lanes.narrow(1, half, half);
    CHECK(equal(sum(x, 1), lanes.flatten()));
    CHECK(equal(sum(cat({x, x}, 1).narrow(1, 0, width), 1), lanes.flatten()));
    if (width > 1)
      CHECK(allclose(var(x, 1), sum((x - mean(x, 1, true)).square(), 1) / static_cast<double>(width - 1),
                     1e-12));
    check_same_for_any_threads([&] { return sum(x.expand({100, 300, width}), 2); });
    check_same_for_any_threads([&] { return sum(x.expand({100, 300, width}), {0, 1}); });
  }
}

/// Where x is NaN.
Tensor is_nan(const Tensor& x) { return x != x; }

TEST_CASE("short rows: NaN wins, and of equal maxima the first") {
  const double nan = std::nan("");
  const Tensor x = tensor({{1.0, nan}, {nan, 2.0}, {3.0, 3.0}, {-0.0, 0.0}});
  for (const Tensor& rows : {x, x.t().contiguous().t(), cat({x, x}).slice(0, 0, 4)}) {
    CHECK(equal(is_nan(amax(rows, 1)), tensor({true, true, false, false})));
    CHECK(equal(argmax(rows, 1), tensor({1, 0, 0, 0})));
    CHECK(equal(argmax(rows, 0), tensor({1, 0})));
    CHECK(equal(is_nan(amin(rows, 0)), tensor({true, true})));
  }
}

TEST_CASE("short rows: elementwise ops of any strides") {
  manual_seed(5);
  for (const Tensor& x : short_tensors()) {
    CAPTURE(to_string(x.shape()));
    const Tensor row = randn({1, x.size(1)}), column = randn({x.size(0), 1});
    const auto rows = row.to_vector<double>(), columns = column.to_vector<double>();
    const auto add = [](double a, double b) {
      return static_cast<double>(static_cast<float>(a) + static_cast<float>(b));
    };
    const auto by_row = one_by_one(
        x, [&](double v, std::int64_t, std::int64_t c) { return add(v, rows[static_cast<std::size_t>(c)]); });
    const auto by_column = one_by_one(x, [&](double v, std::int64_t r, std::int64_t) {
      return add(v, columns[static_cast<std::size_t>(r)]);
    });
    for (const Tensor& view : {x, x.t().contiguous().t(), cat({x, x}, 1).narrow(1, 0, x.size(1))}) {
      CHECK((view + row).to_vector<double>() == by_row);
      CHECK((column + view).to_vector<double>() == by_column);
      const Tensor wide = zeros({x.size(0), 2 * x.size(1)});
      Tensor part = wide.narrow(1, 1, x.size(1));
      part.copy_(view);
      part += row;
      CHECK(part.to_vector<double>() == by_row);
      CHECK(equal(wide.narrow(1, 0, 1), zeros({x.size(0), 1})));
      part.fill_(3);
      CHECK(equal(part, full_like(x, 3)));
      CHECK(equal(wide.narrow(1, 0, 1), zeros({x.size(0), 1})));
      CHECK(equal(where(view > 0, view, column), where(x > 0, x, column.expand(x.shape()).contiguous())));
    }
  }
}

TEST_CASE("short rows: copies of rows and of cubes") {
  manual_seed(6);
  for (const Shape& shape : {Shape{700, 2, 2}, {2, 700, 3}, {3, 5, 1031}, {33, 3, 31}, {4, 1, 5}})
    for (const Shape& order : {Shape{0, 2, 1}, {1, 0, 2}, {2, 1, 0}, {1, 2, 0}, {2, 0, 1}}) {
      const Tensor x = randn(shape), y = x.permute(order);
      const Tensor copy = y.contiguous();
      CAPTURE(to_string(y.shape()));
      for (std::int64_t i = 0; i < y.size(0); i += 1 + y.size(0) / 7)
        for (std::int64_t j = 0; j < y.size(1); j += 1 + y.size(1) / 7)
          for (std::int64_t k = 0; k < y.size(2); ++k) REQUIRE(copy[i][j][k].item() == y[i][j][k].item());
      CHECK(equal(y + y[0], copy + copy[0]));
    }
}

TEST_CASE("short rows: gradients are added to what is there") {
  manual_seed(7);
  const Tensor x = randn({300, 3}).requires_grad_(), row = randn({3});
  for (int i = 0; i < 2; ++i) (x.narrow(1, 0, 2) * row.narrow(0, 0, 2)).sum().backward();
  const Tensor expected = (row * tensor({2.0, 2.0, 0.0})).expand({300, 3});
  CHECK(allclose(x.grad(), expected));
}

/// y and its gradient by x against the definition in float64 and its gradient by `wide`.
void check_like(const Tensor& y, const Tensor& x, const Tensor& expected, const Tensor& wide) {
  const double tolerance = y.dtype() == float32 ? 1e-5 : 1e-11;
  const Tensor g = randn(y.shape(), {.dtype = y.dtype()});
  CHECK(allclose(y.to(float64), expected, tolerance, tolerance));
  CHECK(allclose(
      autograd::grad({y}, {x}, {.gradients = std::vector<Tensor>{g}, .retain_graph = true})[0].to(float64),
      autograd::grad({expected}, {wide},
                     {.gradients = std::vector<Tensor>{g.to(float64)}, .retain_graph = true})[0],
      10 * tolerance, 10 * tolerance));
}

TEST_CASE("short rows: softmax equals its definition") {
  manual_seed(8);
  for (const DType dtype : {float32, float64})
    for (const Tensor& rows : short_tensors(dtype)) {
      if (rows.numel() == 0) continue;
      CAPTURE(to_string(rows.shape()));
      const Tensor x = (rows / 10).requires_grad_();
      for (const int dim : {0, 1})
        for (const bool log_of : {false, true}) {
          const Tensor wide = x.detach().to(float64).clone().requires_grad_();
          const Tensor shifted = wide - amax(wide.detach(), dim, true);
          const Tensor total = sum(exp(shifted), dim, true);
          check_like(log_of ? log_softmax(x, dim) : softmax(x, dim), x,
                     log_of ? shifted - log(total) : exp(shifted) / total, wide);
        }
    }
}

TEST_CASE("short rows: layer_norm equals its definition") {
  manual_seed(9);
  for (const Tensor& rows : short_tensors(float64)) {
    const std::int64_t width = rows.size(1);
    if (rows.numel() == 0 || width == 1) continue;  // of one number the variance is 0
    CAPTURE(to_string(rows.shape()));
    const TensorOptions options{.dtype = float64};
    const Tensor x = rows.clone().requires_grad_(), weight = randn({width}, options).requires_grad_(),
                 bias = randn({width}, options).requires_grad_();
    const Tensor centered = x - mean(x, 1, true);
    const Tensor normalized = centered / sqrt(mean(centered.square(), 1, true) + 1e-5);
    const Tensor got = layer_norm(x, {width}, weight, bias), expected = normalized * weight + bias;
    for (const Tensor& input : {x, weight, bias}) check_like(got, input, expected, input);
    check_like(layer_norm(x, {width}), x, normalized, x);
  }
}

TEST_CASE("short rows: batch_norm of few features equals its definition") {
  manual_seed(9);
  for (const std::int64_t features : {1, 2, 3, 4, 8, 9, 17}) {
    const Tensor x = (randn({300, features}) * 3 + 1).requires_grad_(), g = randn(x.shape());
    const Tensor wide = x.detach().to(float64).requires_grad_(), centered = wide - mean(wide, 0, true);
    const Tensor expected = centered / sqrt(mean(centered.square(), 0, true) + 1e-5);
    const Tensor y = batch_norm(x, {}, {}, {}, {}, {.training = true});
    CHECK(allclose(y.to(float64), expected, 1e-5, 1e-5));
    CHECK(allclose(
        autograd::grad({y}, {x}, {.gradients = std::vector<Tensor>{g}, .retain_graph = true})[0].to(float64),
        autograd::grad({expected}, {wide},
                       {.gradients = std::vector<Tensor>{g.to(float64)}, .retain_graph = true})[0],
        1e-4, 1e-5));
  }
}

TEST_CASE("short rows: index_select of narrow rows and its gradient") {
  manual_seed(10);
  for (const DType dtype : {float32, float64, uint8})
    for (const std::int64_t inner : {1, 2, 3, 4, 5, 6, 8, 9}) {
      const Tensor x = (rand({7, 11, inner}) * 100).to(dtype);
      const Tensor index = randint(0, 11, {40});
      const Tensor y = index_select(x, 1, index);
      const auto at = index.to_vector<std::int64_t>();
      for (std::int64_t i = 0; i < 40; ++i)
        REQUIRE(equal(y.select(1, i), x.select(1, at[static_cast<std::size_t>(i)])));
      if (dtype == uint8) continue;
      const Tensor leaf = x.detach().clone().requires_grad_(), g = randn(y.shape(), {.dtype = dtype});
      index_select(leaf, 1, index).backward(g);
      const Tensor expected = zeros(x.shape(), {.dtype = float64});
      for (std::int64_t i = 0; i < 40; ++i)
        expected.select(1, at[static_cast<std::size_t>(i)]).add_(g.select(1, i).to(float64));
      CHECK(equal(leaf.grad(), expected.to(dtype)));
    }
}

TEST_CASE("short rows: cumulative sums and products of several rows at a time") {
  manual_seed(13);
  for (const Tensor& x : short_tensors(float64)) {
    INFO(x.shape());
    // Columns are scanned by other code, in the same order.
    CHECK(equal(cumsum(x, 1), cumsum(x.t().contiguous(), 0).t()));
    CHECK(equal(cumprod(x / 40, 1), cumprod((x / 40).t().contiguous(), 0).t()));
    if (x.numel() == 0) continue;
    const Tensor leaf = x.detach().clone().requires_grad_();  // whose gradients are scanned from the end
    const Tensor turned = x.t().contiguous().requires_grad_();
    cumsum(leaf, 1).backward(x);
    cumsum(turned, 0).backward(x.t());
    CHECK(equal(leaf.grad(), turned.grad().t()));
  }
}

TEST_CASE("topk: the first of the sorted elements, few and many") {
  manual_seed(14);
  for (const DType dtype : {float32, int64})
    for (const Shape& shape : std::vector<Shape>{{5, 300}, {2, 70, 3}, {4, 1}})
      for (const int dim : {0, 1}) {
        const Tensor x = randint(0, 40, shape).to(dtype);  // with equal ones, which keep their order
        const std::int64_t n = shape[dim];
        for (const std::int64_t k : {std::int64_t{0}, std::int64_t{1}, n / 16, n / 3, n}) {
          INFO(shape, " ", dim, " ", k);
          for (const bool largest : {true, false}) {
            const ValuesAndIndices first = topk(x, k, dim, largest), all = sort(x, dim, largest);
            CHECK(equal(first.values, all.values.narrow(dim, 0, k)));
            CHECK(equal(first.indices, all.indices.narrow(dim, 0, k)));
          }
        }
      }
}

TEST_CASE("short rows: many small tensors are joined") {
  manual_seed(11);
  std::vector<Tensor> tensors;
  for (int i = 0; i < 300; ++i) tensors.push_back(randn({3, 2}));
  const Tensor joined = cat(tensors, 1), stacked = stack(tensors, 1), tall = cat(tensors);
  for (int i = 0; i < 300; ++i) {
    const Tensor& x = tensors[static_cast<std::size_t>(i)];
    CHECK(equal(joined.narrow(1, 2 * i, 2), x));
    CHECK(equal(stacked.select(1, i), x));
    CHECK(equal(tall.narrow(0, 3 * i, 3), x));
  }
}

}  // namespace
}  // namespace miniparallel
