#include "kernels/math.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

// The functions of float32 that are made here, against float64's.

namespace miniparallel::kernels {
namespace {

const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();

/// The largest error over numbers from `low` to `high`, near 0 as well, in units of the last place of the
/// result.
double largest_error(float (*got)(float), double (*expected)(double), double low, double high) {
  double largest = 0;
  const auto look_at = [&](double at) {
    const float x = static_cast<float>(at);
    if (!(x >= low && x <= high)) return;
    const double right = expected(static_cast<double>(x));
    const float rounded = std::abs(static_cast<float>(right));
    const double unit = static_cast<double>(std::nextafter(rounded, inf)) - static_cast<double>(rounded);
    largest = std::max(largest, std::abs(static_cast<double>(got(x)) - right) / unit);
  };
  for (int i = 0; i <= 200'000; ++i) look_at(low + (high - low) * i / 200'000);
  for (int i = 0; i < 2000; ++i) {
    const double small = std::pow(1.02, -i);
    look_at(small);
    look_at(-small);
    look_at(1 + small);
    look_at(1 - small);
  }
  return largest;
}

TEST_CASE("functions of float32 are right to a few units of the last place") {
  CHECK(largest_error(math::expm1, std::expm1, -20, 88) < 2);
  CHECK(largest_error(math::log1p, std::log1p, -0.999999, 1e9) < 2);
  CHECK(largest_error(math::log1p, std::log1p, -0.9, 2) < 2);
  CHECK(largest_error(math::log2, std::log2, 1e-40, 100) < 2);
  CHECK(largest_error(math::log10, std::log10, 1e-40, 100) < 2);
  CHECK(largest_error(math::erfinv, math::erfinv, -0.9999999, 0.9999999) < 8);
}

TEST_CASE("erfinv of float64 is the inverse of erf") {
  for (double y = 0; y < 5.5; y += 0.01) {
    CAPTURE(y);
    const double x = std::erf(y);
    if (x < 0.5) CHECK(math::erfinv(x) == doctest::Approx(y).epsilon(1e-14));
    // Near 1 the numbers x are far apart, but each has its inverse.
    CHECK(std::erfc(math::erfinv(x)) == doctest::Approx(1 - x).epsilon(1e-13));
    CHECK(math::erfinv(-x) == -math::erfinv(x));
  }
  CHECK(math::erfinv(1e-300) == doctest::Approx(0.88622692545275801e-300));
}

TEST_CASE("functions at their ends") {
  for (const int n : {-149, -126, -1, 0, 1, 10, 127})
    CHECK(math::log2(std::ldexp(1.0f, n)) == static_cast<float>(n));
  for (int n = 0; n <= 10; ++n)
    CHECK(math::log10(static_cast<float>(std::pow(10.0, n))) == static_cast<float>(n));
  for (const auto log :
       {static_cast<float (*)(float)>(math::log2), static_cast<float (*)(float)>(math::log10)}) {
    CHECK(log(0.0f) == -inf);
    CHECK(log(inf) == inf);
    CHECK(std::isnan(log(-1.0f)));
    CHECK(std::isnan(log(nan)));
  }
  CHECK(math::log1p(-1.0f) == -inf);
  CHECK(math::log1p(inf) == inf);
  CHECK(math::log1p(3e38f) == math::log(3e38f));
  CHECK(std::isnan(math::log1p(-2.0f)));
  CHECK(std::isnan(math::log1p(nan)));
  CHECK(math::expm1(-inf) == -1);
  CHECK(math::expm1(inf) == inf);
  CHECK(math::expm1(89.0f) == inf);
  CHECK(math::expm1(0.0f) == 0);
  CHECK(std::isnan(math::expm1(nan)));
  CHECK(math::erfinv(1.0f) == inf);
  CHECK(math::erfinv(-1.0) == -std::numeric_limits<double>::infinity());
  CHECK(math::erfinv(0.0) == 0);
  CHECK(std::isnan(math::erfinv(1.5f)));
  CHECK(std::isnan(math::erfinv(-1.5)));
}

}  // namespace
}  // namespace miniparallel::kernels
