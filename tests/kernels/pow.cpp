#include <miniparallel/miniparallel.h>

#include "tests/kernels/error_in_ulp.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

// pow with an exponent that has a loop of its own, and with others, against the
// platform's in higher precision.

using namespace miniparallel;
using miniparallel::testing::error_in_ulp;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();

bool same(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

}  // namespace

TEST_CASE("pow: any exponent is accurate, at the edges as std::pow") {
  manual_seed(2);
  const std::vector<double> edges{0,   -0.0, 1,    -1,    inf,   -inf, std::nan(""), 2,  -2,
                                  0.5, -0.5, 1e30, -1e30, 1e-30, 3,    -7,           0.3};
  for (const DType dtype : {float32, float64})
    for (double exponent = -5; exponent <= 5; exponent += 0.25) {
      CAPTURE(exponent);
      if (exponent == 0.5) continue;  // a square root
      const Tensor x = cat({tensor(edges, {17}, {.dtype = dtype}), rand({300}, {.dtype = dtype}) * 20});
      const auto inputs = x.to_vector<double>(), outputs = pow(x, exponent).to_vector<double>(),
                 by_tensor = pow(x, full_like(x, exponent)).to_vector<double>();
      Tensor leaf = x.clone().requires_grad_();
      sum(pow(leaf, exponent)).backward();
      const auto slopes = leaf.grad().to_vector<double>();
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        CAPTURE(inputs[i]);
        const auto check_near = [&](double y, long double exact, double tolerance) {
          const double wanted =
              dtype == float32 ? static_cast<double>(static_cast<float>(exact)) : static_cast<double>(exact);
          const bool exceptional = !std::isfinite(wanted) || wanted == 0;
          CHECK((same(y, wanted) ||
                 (!exceptional && (dtype == float32 ? error_in_ulp<float>(y, exact)
                                                    : error_in_ulp<double>(y, exact)) < tolerance)));
        };
        const long double base = static_cast<long double>(inputs[i]);
        const long double power = std::pow(base, static_cast<long double>(exponent));
        check_near(outputs[i], power, exponent < -2 ? 6 : 3);
        check_near(by_tensor[i], power, dtype == float32 ? 0.6 : 1.5);
        if (exponent != 0 && exponent != 1 && exponent != 2)
          check_near(slopes[i], exponent * std::pow(base, static_cast<long double>(exponent - 1)), 8);
      }
    }
}

TEST_CASE("pow of two float32 tensors: accurate for any exponent, at the edges as std::pow") {
  manual_seed(5);
  const float huge = static_cast<float>(inf);
  const std::vector<float> edges{0,          -0.f,  1,     -1,        huge, -huge,  std::nanf(""),
                                 2,          -2,    0.5f,  -3,        1e9f, 1e-40f, -1e9f,
                                 16777217.f, 3e38f, -1.5f, 1.0000001f};
  std::vector<float> x, y;
  for (const float a : edges)
    for (const float b : edges) {
      x.push_back(a);
      y.push_back(b);
    }
  for (int i = 0; i < 20'000; ++i) {  // powers of every magnitude
    const float exponent = rand({}).item<float>() * 300 - 150;
    const float base = i % 2 == 0 ? 0.999f + 0.002f * rand({}).item<float>() : 5 * rand({}).item<float>();
    x.push_back(base);
    y.push_back(i % 2 == 0 ? exponent * 500 : exponent / (1 + std::abs(std::log2(base))));
  }
  const std::vector<float> powers = pow(tensor(x), tensor(y)).to_vector<float>();
  for (std::size_t i = 0; i < x.size(); ++i) {
    CAPTURE(x[i]);
    CAPTURE(y[i]);
    const double exact = std::pow(static_cast<double>(x[i]), static_cast<double>(y[i]));
    const bool near =
        error_in_ulp<float>(static_cast<double>(powers[i]), static_cast<long double>(exact)) < 0.6;
    CHECK((same(static_cast<double>(powers[i]), static_cast<double>(static_cast<float>(exact))) || near));
  }
}
