#pragma once

#include <doctest/doctest.h>

namespace miniparallel::testing {

/// What `--precision` does to a training on the CPU, whose last loss `loss(precision)` gives: with 16 bits it
/// is that of float32 but for this share, and not the same; TF32 changes nothing.
void check_precisions(auto&& loss, double tolerance) {
  const double exact = loss("float32");
  CHECK(loss("tf32") == exact);
  for (const char* precision : {"bf16", "fp16"}) {
    const double got = loss(precision);
    CHECK(got != exact);
    CHECK(got == doctest::Approx(exact).epsilon(tolerance));
  }
}

}  // namespace miniparallel::testing
