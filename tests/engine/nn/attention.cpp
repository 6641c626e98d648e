#include "tests/engine/nn/golden_layer.h"

#include <cmath>

using namespace miniparallel;
using namespace miniparallel::testing;

TEST_CASE("layers against PyTorch: multi-head attention") {
  check_against_pytorch("attention", nn::MultiheadAttention{8, 2});
  check_against_pytorch(
      "attention_causal", nn::MultiheadAttention{8, 2, {.bias = false}},
      [](nn::MultiheadAttention& layer, const Inputs& x) { return layer(x[0], {.causal = true}); });
  check_against_pytorch("attention_mask", nn::MultiheadAttention{8, 4},
                        [](nn::MultiheadAttention& layer, const Inputs& x) {
                          return layer(x[0], x[1], x[2], {.mask = Golden("attention_mask")["keep"]});
                        });
}

TEST_CASE("MultiheadAttention: starts as PyTorch's does") {
  const auto largest = [](const Tensor& x) { return largest_magnitude(x); };
  const nn::MultiheadAttention attention{64, 4};
  const double xavier = std::sqrt(6.0 / (64 + 192));
  CHECK(largest(attention.in_proj_weight) <= xavier);
  CHECK(largest(attention.in_proj_weight) > 0.99 * xavier);
  CHECK(largest(attention.in_proj_bias) == 0);
  CHECK(largest(attention.out_proj.bias) == 0);
  CHECK(largest(attention.out_proj.weight) <= 1.0 / 8);
}

TEST_CASE("MultiheadAttention: bad sizes are errors that say which") {
  CHECK(error_of([] { nn::MultiheadAttention{8, 3}; }) ==
        "MultiheadAttention: 3 heads do not divide the width 8; choose a divisor of it");
  CHECK(error_of([] { nn::MultiheadAttention{8, 2}(ones({2, 7})); }) ==
        "MultiheadAttention: got query [2, 7], key [2, 7] and value [2, 7]; each must be (..., length, 8)");
}
