#include <miniparallel/miniparallel.h>

#include "tests/docs/captured.h"

#include <doctest/doctest.h>

#include <iostream>

// The code of docs/gpu.md, on the CPU where there is no GPU.

using namespace miniparallel;

namespace {
struct Net {
  nn::Linear fc{3, 1};
  Tensor operator()(const Tensor& x) { return fc(x); }
};
}  // namespace

TEST_CASE("docs/gpu: one device, whichever there is") {
  const testing::Captured captured(std::cout);
#include "snippets/gpu/there.inc"
  const data::TensorDataset examples(randn({128, 3}), randn({128, 1}));
#include "snippets/gpu/one.inc"
  CHECK(total.item() > 0);
}
