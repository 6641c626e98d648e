#include "tests/engine/nn/golden_layer.h"

using namespace miniparallel;
using namespace miniparallel::testing;

TEST_CASE("layers against PyTorch: batch and layer normalisation") {
  check_against_pytorch("batch_norm2d", nn::BatchNorm2d{3});
  check_against_pytorch("batch_norm2d_eval", evaluating(nn::BatchNorm2d{3}));
  check_against_pytorch("batch_norm2d_plain",
                        evaluating(nn::BatchNorm2d{3, {.affine = false, .track_running_stats = false}}));
  check_against_pytorch("batch_norm1d", nn::BatchNorm1d{3, {.eps = 1e-3, .momentum = 0.3}});
  check_against_pytorch(
      "batch_norm1d_average", nn::BatchNorm1d{3, {.momentum = {}}},
      [](nn::BatchNorm1d& layer, const Inputs& x) { return layer(2 * x[0]) + layer(x[0]); });
  check_against_pytorch("layer_norm", nn::LayerNorm{6});
  check_against_pytorch("layer_norm2d", nn::LayerNorm{{4, 6}, {.eps = 1e-3, .bias = false}});
}

TEST_CASE("layers against PyTorch: sequential") {
  check_against_pytorch("sequential",
                        nn::Sequential{nn::Conv2d{1, 3, 3, {.padding = 1}}, nn::BatchNorm2d{3}, nn::ReLU{},
                                       nn::MaxPool2d{2}, nn::Flatten{}, nn::Linear{12, 4}, nn::Tanh{}});
}

TEST_CASE("batch normalisation: a wrong rank is an error") {
  CHECK(error_of([] { nn::BatchNorm2d{3}(ones({2, 3})); }) ==
        "BatchNorm2d: got shape [2, 3]; it must be (n, channels, height, width)");
  CHECK(error_of([] { nn::BatchNorm1d{3}(ones({2})); }) ==
        "BatchNorm1d: got shape [2]; it must be (n, channels) or (n, channels, length)");
}
