#pragma once

#include <miniparallel/optim.h>

#include "tests/support/golden.h"

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <vector>

namespace miniparallel::testing {

/// Makes an optimizer of some parameters.
using MakeOptimizer = std::function<std::unique_ptr<optim::Optimizer>(const std::vector<Tensor>&)>;

template <class Optimizer, class Options>
MakeOptimizer with(const Options& options) {
  return [options](const std::vector<Tensor>& p) { return std::make_unique<Optimizer>(p, options); };
}

inline void check_same_state(optim::Optimizer& one, optim::Optimizer& other) {
  const StateDict a = one.state_dict(), b = other.state_dict();
  REQUIRE(a.size() == b.size());
  for (const auto& entry : a) {
    CAPTURE(entry.first);
    REQUIRE(b.contains(entry.first));
    CHECK(identical(entry.second, b.at(entry.first)));
  }
}

}  // namespace miniparallel::testing
