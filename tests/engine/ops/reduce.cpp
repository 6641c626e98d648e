#include "tests/support/derivatives.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace miniparallel {
namespace {

using testing::check_derivatives;
using testing::check_same_for_any_threads;
using testing::error_of;

double relative_error(const Tensor& x, double expected) {
  return std::abs(x.item() - expected) / std::abs(expected);
}

TEST_CASE("reduce: ten million equal float32 numbers sum without drift") {
  const Tensor x = full({10'000'000}, 0.1f, {.dtype = float32});
  const double exact = 1e7 * static_cast<double>(0.1f);
  CHECK(relative_error(sum(x), exact) < 1e-7);
  CHECK(relative_error(mean(x), static_cast<double>(0.1f)) < 1e-7);
  CHECK(allclose(sum(x.view({1000, 10000}), {0}), full({10000}, 1000 * 0.1f), 1e-7));
  CHECK(var(x).item() < 1e-14);
}

TEST_CASE("reduce: results do not depend on the number of threads") {
  manual_seed(1);
  const Tensor x = randn({64, 37, 301});
  check_same_for_any_threads([&] { return sum(x); });
  check_same_for_any_threads([&] { return sum(x, {0}); });
  check_same_for_any_threads([&] { return sum(x, {1}); });
  check_same_for_any_threads([&] { return var(x, {0, 2}); });
  check_same_for_any_threads([&] { return argmax(x); });
}

/// sum, amax, amin and argmax of every element, one after another.
void check_against_loops(const Tensor& x, const Shape& dims) {
  // Kept dimensions first: each row of `rows` is folded into one element.
  Shape order, kept;
  for (int d = 0; d < x.dim(); ++d)
    if (std::find(dims.begin(), dims.end(), d) == dims.end()) order.push_back(d), kept.push_back(x.size(d));
  for (const std::int64_t d : dims) order.push_back(d);
  const std::vector<double> values = x.permute(order).contiguous().to_vector<double>();
  const std::int64_t outputs = kept.numel(), n = static_cast<std::int64_t>(values.size()) / outputs;
  const auto sums = sum(x, dims).to_vector<double>(), most = amax(x, dims).to_vector<double>(),
             least = amin(x, dims).to_vector<double>();
  for (std::int64_t o = 0; o < outputs; ++o) {
    const auto begin = values.begin() + o * n, end = begin + n;
    double total = 0;
    for (auto i = begin; i != end; ++i) total += *i;
    REQUIRE(sums[static_cast<std::size_t>(o)] == doctest::Approx(total).epsilon(1e-5));
    REQUIRE(most[static_cast<std::size_t>(o)] == *std::max_element(begin, end));
    REQUIRE(least[static_cast<std::size_t>(o)] == *std::min_element(begin, end));
  }
  if (dims.rank() != 1) return;
  const auto at = argmax(x, static_cast<int>(dims[0])).to_vector<std::int64_t>();
  for (std::int64_t o = 0; o < outputs; ++o) {
    const auto begin = values.begin() + o * n;
    REQUIRE(at[static_cast<std::size_t>(o)] == std::max_element(begin, begin + n) - begin);
  }
}

TEST_CASE("reduce: any dims of contiguous, transposed, sliced and repeated tensors, of every dtype") {
  const std::vector<Tensor> layouts{
      randint(0, 50, {5, 7, 300}),
      randint(0, 50, {300, 7, 5}).permute({2, 1, 0}),
      randint(0, 50, {10, 14, 33}).slice(0, 0, 10, 2).slice(1, 1, 14, 2).slice(2, 3, 30, 3),
      randint(0, 50, {1, 7, 1}).expand({4, 7, 9}),
      randint(0, 50, {700, 3, 2}),
  };
  for (const Tensor& layout : layouts)
    for (const DType dtype : {float32, float64, int64, int32, uint8, boolean}) {
      CAPTURE(name(dtype));
      const Tensor x = layout.to(dtype);
      for (const Shape& dims : {Shape{0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2}}) {
        CAPTURE(to_string(dims));
        check_against_loops(x, dims);
      }
    }
}

TEST_CASE("reduce: every second dimension, of runs and rows of any length") {
  for (const DType dtype : {float32, float64, int64})
    for (const Shape& shape :
         std::vector<Shape>{{5, 3, 300, 2}, {3, 4, 2, 70}, {2, 200, 3, 100}, {1, 3, 1, 5}}) {
      INFO(shape, " ", dtype);
      const Tensor x = randint(-50, 50, shape).to(dtype);  // whole numbers: the order of sums does not show
      const Tensor rows = x.permute({0, 2, 1, 3}).reshape({shape[0], shape[2], shape[1] * shape[3]});
      CHECK(equal(sum(x, {1, 3}), sum(rows, {2})));
      CHECK(equal(amax(x, {1, 3}), amax(rows, {2})));
      if (x.is_floating() && rows.size(2) > 1) CHECK(allclose(var(x, {1, 3}), var(rows, {2}), 1e-5));
    }
}

TEST_CASE("prod: any dims of any layout, zeros, and what each element's gradient leaves out") {
  manual_seed(5);
  for (const DType dtype : {float32, float64, int64, int32, uint8})
    for (const Tensor& layout : {randint(1, 3, {3, 5, 4}), randint(1, 3, {4, 5, 3}).permute({2, 1, 0}),
                                 randint(1, 3, {1, 5, 1}).expand({2, 5, 3}), randint(-1, 2, {2, 700, 3})})
      for (const Shape& dims : {Shape{0}, {1}, {2}, {0, 2}, {1, 2}}) {
        INFO(dtype, ", dims ", dims);
        Tensor expected = layout.to(float64);  // powers of 2, or 0 and 1: no rounding
        for (int d = 2; d >= 0; --d)
          if (std::find(dims.begin(), dims.end(), d) != dims.end())
            expected = cumprod(expected, d).narrow(d, layout.size(d) - 1, 1);
        const Tensor x = layout.to(dtype).to(layout.numel() > 4000 && dtype == uint8 ? int32 : dtype);
        if (dtype == uint8 && layout.amin().item<int>() < 0) continue;
        CHECK(equal(prod(x, dims, true).to(float64), expected));
      }
  CHECK(prod(zeros({0, 2}), {0}).to_vector<float>() == std::vector<float>{1, 1});
  CHECK(prod(tensor({1e30, 1e30, 1e-30, 1e-30}, float32)).item() == doctest::Approx(1));
  Tensor x = tensor({{2.0, 0.0, 3.0}, {0.0, 5.0, 0.0}, {1.0, 2.0, 4.0}}).requires_grad_();
  prod(x, {1}).sum().backward();
  CHECK(equal(x.grad(), tensor({{0.0, 6.0, 0.0}, {0.0, 0.0, 0.0}, {8.0, 4.0, 2.0}})));
  check_derivatives([](const auto& t) { return prod(t[0], {0, 2}); }, {{2, 3, 2}});
  check_derivatives([](const auto& t) { return prod(t[0]); }, {{2, 3}});
}

TEST_CASE("reduce: dtypes, keepdim, negative dims, empty tensors") {
  CHECK(sum(tensor({true, true, false})).dtype() == int64);
  CHECK(sum(full({3}, 200, {.dtype = uint8})).item<int>() == 600);
  CHECK(mean(tensor({1, 2})).item() == doctest::Approx(1.5));
  CHECK(sum(ones({2, 3, 4}), {-1, 0}, true).shape() == Shape{1, 3, 1});
  CHECK(sum(zeros({0, 3}), {0}).to_vector<float>() == std::vector<float>{0, 0, 0});
  CHECK(sum(zeros({0})).item() == 0);
  CHECK(std::isnan(mean(zeros({0})).item()));
  CHECK(std::isnan(var(ones({1})).item()));
  CHECK(var(ones({1}), {}, false).item() == 0);
  CHECK(amax(zeros({0, 3}), {1}).numel() == 0);
  CHECK(sum(scalar_tensor(2.0f)).item() == 2);
}

TEST_CASE("reduce: NaN wins in amax, amin and argmax, wherever it stands") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const std::int64_t n : {3, 40, 700, 40000})
    for (const std::int64_t at : {std::int64_t{0}, n / 2, n - 1}) {
      Tensor x = ones({n});
      x[n - 1].fill_(2);
      x[at].fill_(nan);
      CHECK(std::isnan(amax(x).item()));
      CHECK(std::isnan(amin(x).item()));
      CHECK(argmax(x).item<std::int64_t>() == at);
    }
}

TEST_CASE("reduce: errors name the op and what to do") {
  CHECK(error_of([] { amax(zeros({0, 2}), {0}); }).find("amax: nothing to compare") == 0);
  CHECK(error_of([] { argmax(zeros({0})); }).find("argmax: nothing to compare") == 0);
  CHECK(error_of([] { sum(zeros({2, 2}), {0, -2}); }).find("sum: dim 0 appears twice") == 0);
  CHECK(error_of([] { var(tensor({1, 2})); }).find("var") == 0);
  CHECK(error_of([] { sum(zeros({2}), {1}); }).find("sum") == 0);
}

TEST_CASE("reduce: derivatives") {
  check_derivatives([](const auto& x) { return sum(x[0] * x[0], {0}); }, {{3, 4}});
  check_derivatives([](const auto& x) { return mean(x[0] * x[0], {1}, true); }, {{3, 4}});
  check_derivatives([](const auto& x) { return var(x[0], {0, 2}); }, {{3, 2, 4}});
  check_derivatives([](const auto& x) { return amax(x[0], {1}) * amin(x[0], {1}); }, {{3, 5}});
  Tensor x = tensor({1.0f, 2.0f, 2.0f});
  x.requires_grad_();
  amax(x).backward();
  CHECK(x.grad().to_vector<float>() == std::vector<float>{0, 0.5f, 0.5f});
}

}  // namespace
}  // namespace miniparallel
