#include <miniparallel/miniparallel.h>

#include "tests/kernels/error_in_ulp.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <vector>

// The functions of angles, sinh and cosh of float32 against float64's, by the ops that use them.

using namespace miniparallel;
using miniparallel::testing::error_in_ulp;

namespace {

using Values = std::vector<float>;
const float inf = std::numeric_limits<float>::infinity();

Values results(Tensor (*op)(const Tensor&), const Values& x) { return op(tensor(x)).to_vector<float>(); }

/// Of either sign: numbers of every exponent, and what is next to multiples of pi / 4, up to `limit`.
Values numbers_to(float limit) {
  Values all;
  for (std::uint32_t bits = 1; std::bit_cast<float>(bits) <= limit; bits += 50'021)
    all.push_back(std::bit_cast<float>(bits));
  for (double n = 1; n < 1e8; n = std::ceil(n * 1.002)) {
    float near = static_cast<float>(n * (std::numbers::pi / 4));
    for (int step = 0; step < 3 && near <= limit; ++step, near = std::nextafter(near, inf))
      all.push_back(near);
  }
  for (const float around : {0.5f, 1.f}) {
    float near = around - 1e-5f;
    for (int step = 0; step < 400 && near <= limit; ++step, near = std::nextafter(near, inf))
      all.push_back(near);
  }
  const std::size_t positive = all.size();
  for (std::size_t i = 0; i < positive; ++i) all.push_back(-all[i]);
  return all;
}

double largest_error(Tensor (*op)(const Tensor&), double (*exact)(double), float limit) {
  const Values x = numbers_to(limit), y = results(op, x);
  double most = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    most = std::max(most, error_in_ulp<float>(static_cast<double>(y[i]),
                                              static_cast<long double>(exact(static_cast<double>(x[i])))));
  return most;
}

bool same(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

}  // namespace

TEST_CASE("math: functions of angles are accurate everywhere") {
  const float moderate = 67108864.f;  // where another form begins
  CHECK(largest_error(sin, std::sin, moderate) < 0.62);
  CHECK(largest_error(cos, std::cos, moderate) < 0.62);
  CHECK(largest_error(tan, std::tan, moderate) < 0.52);
  CHECK(largest_error(sin, std::sin, 3.4e38f) < 1);
  CHECK(largest_error(cos, std::cos, 3.4e38f) < 1);
  CHECK(largest_error(tan, std::tan, 3.4e38f) < 1);
  CHECK(largest_error(asin, std::asin, 1) < 1.5);
  CHECK(largest_error(acos, std::acos, 1) < 1.5);
  CHECK(largest_error(atan, std::atan, 3.4e38f) < 1.5);
  CHECK(largest_error(sinh, std::sinh, 89) < 2);
  CHECK(largest_error(cosh, std::cosh, 89) < 2);
}

TEST_CASE("math: atan2 and hypot are accurate in all quadrants, and as the platform's at the edges") {
  manual_seed(3);
  Values y = (rand({20'000}) * 2 - 1).to_vector<float>(), x = (rand({20'000}) * 2 - 1).to_vector<float>();
  for (std::size_t i = 0; i < x.size(); i += 2) y[i] = std::ldexp(y[i], static_cast<int>(i) % 240 - 120);
  const Values edges{0, -0.f, 1, -1, inf, -inf, std::nanf(""), 2, -2, 3e38f, -3e38f, 1e-45f, -1e-45f};
  for (const float a : edges)
    for (const float b : edges) {
      y.push_back(a);
      x.push_back(b);
    }
  const Values angles = atan2(tensor(y), tensor(x)).to_vector<float>(),
               lengths = hypot(tensor(y), tensor(x)).to_vector<float>();
  for (std::size_t i = 0; i < x.size(); ++i) {
    CAPTURE(y[i]);
    CAPTURE(x[i]);
    const double exact = std::atan2(static_cast<double>(y[i]), static_cast<double>(x[i]));
    const double length = std::hypot(static_cast<double>(y[i]), static_cast<double>(x[i]));
    CHECK((same(angles[i], static_cast<float>(exact)) ||
           error_in_ulp<float>(static_cast<double>(angles[i]), static_cast<long double>(exact)) < 1.6));
    CHECK((std::isnan(exact) || std::signbit(angles[i]) == std::signbit(static_cast<float>(exact))));
    CHECK((same(lengths[i], static_cast<float>(length)) ||
           error_in_ulp<float>(static_cast<double>(lengths[i]), static_cast<long double>(length)) < 3));
  }
}

TEST_CASE("math: functions of angles at their ends") {
  struct Function {
    Tensor (*op)(const Tensor&);
    float (*platform)(float);
  };
  const Values x{0, -0.f, inf, -inf, std::nanf(""), 1, -1, 1.5f, -1.5f, 1e-45f, -1e-45f, 100, -100};
  for (const auto [op, platform] :
       {Function{sin, std::sin}, Function{cos, std::cos}, Function{tan, std::tan}, Function{asin, std::asin},
        Function{acos, std::acos}, Function{atan, std::atan}, Function{sinh, std::sinh},
        Function{cosh, std::cosh}}) {
    const Values y = results(op, x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      CAPTURE(x[i]);
      const float wanted = platform(x[i]);
      const bool exceptional = std::isnan(wanted) || std::isinf(wanted) || wanted == 0;
      CHECK((same(y[i], wanted) || (!exceptional && y[i] == doctest::Approx(wanted).epsilon(2.5e-7))));
    }
  }
}

TEST_CASE("math: a block with one number that is not moderate is as right, forward and backward") {
  for (const std::int64_t at : {0, 255, 256, 600, 699}) {
    CAPTURE(at);
    Tensor x = arange(700, {.dtype = float32}) * 0.37;
    x.select(0, at).fill_(1e20);
    x.requires_grad_();
    const Tensor y = sin(x);
    sum(y).backward();
    const Values inputs = x.to_vector<float>(), outputs = y.to_vector<float>(),
                 slopes = x.grad().to_vector<float>();
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      CAPTURE(i);
      const double input = static_cast<double>(inputs[i]);
      CHECK(outputs[i] == doctest::Approx(std::sin(input)).epsilon(1e-6));
      CHECK(slopes[i] == doctest::Approx(std::cos(input)).epsilon(1e-6));
    }
  }
}
