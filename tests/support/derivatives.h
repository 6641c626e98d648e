#pragma once

#include <miniparallel/miniparallel.h>

#include "tests/support/error_of.h"

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace miniparallel::testing {

/// First and second derivatives of `function` at random float64 inputs of these shapes.
inline void check_derivatives(const autograd::Function1& function, const std::vector<Shape>& shapes) {
  manual_seed(3);
  std::vector<Tensor> inputs;
  for (const Shape& shape : shapes) {
    Tensor x = randn(shape, {.dtype = float64});
    inputs.push_back(x.requires_grad_());
  }
  CHECK(autograd::gradcheck(function, inputs) == "");
  CHECK(autograd::gradgradcheck(function, inputs) == "");
}

/// Runs `function` with 1, 2, 3 and 5 threads and checks that the results are bit-identical.
inline void check_same_for_any_threads(const std::function<Tensor()>& function) {
  const int threads = num_threads();
  set_num_threads(1);
  const Tensor expected = function();
  for (const int count : {2, 3, 5}) {
    set_num_threads(count);
    CHECK(equal(function(), expected));
  }
  set_num_threads(threads);
}

}  // namespace miniparallel::testing
