#include "kernels/elementwise.h"

#include <doctest/doctest.h>

#include <cmath>

// The op that README works through, as README has it.

namespace miniparallel::kernels::readme {  // not among the functors, where the op may have come by now
using namespace functors;
#include "snippets/README/softplus.inc"
}  // namespace miniparallel::kernels::readme

using miniparallel::kernels::readme::Softplus;

TEST_CASE("README: the softplus that it adds is right, and so is its gradient") {
  for (const double x : {-3.0, -0.5, 0.0, 2.0, 20.0}) {
    CHECK(Softplus::forward(x, 0, 0) == doctest::Approx(std::log1p(std::exp(x))));
    const double slope = (Softplus::forward(x + 1e-6, 0, 0) - Softplus::forward(x - 1e-6, 0, 0)) / 2e-6;
    CHECK(Softplus::backward(2.0, x, 0, 0) == doctest::Approx(2 * slope).epsilon(1e-6));
    CHECK(Softplus::forward(static_cast<float>(x), 0, 0) == doctest::Approx(std::log1p(std::exp(x))));
  }
  CHECK(Softplus::forward(100.0f, 0, 0) == 100);
  CHECK(Softplus::forward(1000.0, 0, 0) == 1000);
  CHECK(Softplus::forward(-1000.0, 0, 0) == 0);
}
