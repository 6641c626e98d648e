#include <miniparallel/miniparallel.h>

#include "tests/kernels/error_in_ulp.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

// Elementary functions against the platform's in higher precision, by the ops that use them.

using namespace miniparallel;
using miniparallel::testing::error_in_ulp;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();

/// The largest error of `op` at numbers spread over [low, high].
template <class T>
double largest_error(Tensor (*op)(const Tensor&), long double (*exact)(long double), double low,
                     double high) {
  const DType dtype = std::is_same_v<T, float> ? float32 : float64;
  const Tensor x = rand({20'000}, {.dtype = dtype}) * (high - low) + low;
  const auto inputs = x.to_vector<double>(), outputs = op(x).to_vector<double>();
  double most = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    most = std::max(most, error_in_ulp<T>(outputs[i], exact(static_cast<long double>(inputs[i]))));
  return most;
}

}  // namespace

TEST_CASE("math: exp, log and tanh of both floating dtypes are accurate everywhere") {
  manual_seed(1);
  CHECK(largest_error<double>(exp, std::exp, -1, 1) < 1.5);
  CHECK(largest_error<double>(exp, std::exp, -760, 720) < 1.5);
  CHECK(largest_error<double>(log, std::log, 0, 3) < 1);
  CHECK(largest_error<double>(log, std::log, 0, 1e300) < 1);
  CHECK(largest_error<double>(log, std::log, 0, 1e-310) < 1);
  CHECK(largest_error<double>(tanh, std::tanh, -1, 1) < 2);
  CHECK(largest_error<double>(tanh, std::tanh, -30, 30) < 2);
  CHECK(largest_error<float>(exp, std::exp, -100, 90) < 1.5);
  CHECK(largest_error<float>(log, std::log, 0, 3) < 1);
  CHECK(largest_error<float>(tanh, std::tanh, -10, 10) < 2.5);
  for (const DType dtype : {float32, float64}) {
    const Tensor x = tensor({inf, -inf, std::nan(""), 0.0, -0.0, -1.0}, {.dtype = dtype});
    const auto exps = exp(x).to_vector<double>(), logs = log(x).to_vector<double>(),
               tanhs = tanh(x).to_vector<double>();
    CHECK(exps[0] == inf);
    CHECK(exps[1] == 0);
    CHECK(std::isnan(exps[2]));
    CHECK(exps[3] == 1);
    CHECK(logs[0] == inf);
    CHECK(std::isnan(logs[1]));
    CHECK(std::isnan(logs[2]));
    CHECK(logs[3] == -inf);
    CHECK(logs[4] == -inf);
    CHECK(std::isnan(logs[5]));
    CHECK(tanhs[0] == 1);
    CHECK(tanhs[1] == -1);
    CHECK(std::isnan(tanhs[2]));
    CHECK(tanhs[4] == 0);
  }
}
