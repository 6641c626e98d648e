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
  check_against_pytorch("batch_norm3d", nn::BatchNorm3d{3});
  check_against_pytorch("layer_norm", nn::LayerNorm{6});
  check_against_pytorch("layer_norm2d", nn::LayerNorm{{4, 6}, {.eps = 1e-3, .bias = false}});
}

TEST_CASE("layers against PyTorch: group, instance and root mean square normalisation") {
  check_against_pytorch("group_norm", nn::GroupNorm{2, 6, {.eps = 1e-3}});
  check_against_pytorch("group_norm_plain", nn::GroupNorm{3, 6, {.affine = false}});
  check_against_pytorch("rms_norm", nn::RMSNorm{6});
  check_against_pytorch("rms_norm2d", nn::RMSNorm{{4, 6}, {.eps = 1e-3}});
  check_against_pytorch("rms_norm_plain", nn::RMSNorm{6, {.elementwise_affine = false}});
  check_against_pytorch("instance_norm1d", nn::InstanceNorm1d{3});
  check_against_pytorch("instance_norm2d", evaluating(nn::InstanceNorm2d{3, {.eps = 1e-3, .affine = true}}));
  check_against_pytorch("instance_norm3d", nn::InstanceNorm3d{2});
  check_against_pytorch("upsample", nn::Upsample{{2, 3}});
  check_against_pytorch("upsample_bilinear", nn::Upsample{{2, 3}, Interpolation::bilinear});
  check_against_pytorch("upsample_corners", nn::Upsample{2, Interpolation::bilinear, true});
}

TEST_CASE("group, instance and root mean square normalisation: what does not fit is an error") {
  const Tensor x = ones({2, 6, 4});
  CHECK(error_of([&] { group_norm(x, 4); }) ==
        "group_norm: 4 groups do not divide 6 channels; choose a divisor");
  CHECK(error_of([&] { group_norm(x, 3, ones({3})); }) == "group_norm: weight has shape [3]; it must be [6]");
  CHECK(error_of([&] { group_norm(x[0][0], 1); }) ==
        "group_norm: got shape [4]; it must be (n, channels, ...)");
  CHECK(error_of([&] { instance_norm(x[0]); }) ==
        "instance_norm: got shape [6, 4]; it must be (n, channels, ...), with at least three dimensions");
  CHECK(error_of([&] { rms_norm(x, {5}); }) ==
        "rms_norm: input of shape [2, 6, 4] does not end in the normalised shape [5]; make the layer for the "
        "shape of "
        "its input");
  CHECK(error_of([&] { rms_norm(x, {4}, ones({6})); }) == "rms_norm: weight has shape [6]; it must be [4]");
  CHECK(error_of([] { nn::GroupNorm{4, 6}; }) ==
        "GroupNorm: 4 groups do not divide 6 channels; choose a divisor");
  CHECK(error_of([&] { nn::InstanceNorm2d{6}(x); }) ==
        "InstanceNorm2d: got shape [2, 6, 4]; it must have 4 dimensions, (n, 6, ...)");
  CHECK(error_of([&] { upsample(x, 2); }) ==
        "upsample: got shape [2, 6, 4]; it must be (n, channels, height, width)");
  CHECK(error_of([] { upsample(ones({1, 1, 2, 2}), {2, 0}); }) ==
        "upsample: the scale factors are 2 and 0; they must be at least 1");
}

TEST_CASE("layers against PyTorch: sequential") {
  check_against_pytorch("sequential",
                        nn::Sequential{nn::Conv2d{1, 3, 3, {.padding = 1}}, nn::BatchNorm2d{3}, nn::ReLU{},
                                       nn::MaxPool2d{2}, nn::Flatten{}, nn::Linear{12, 4}, nn::Tanh{}});
}

TEST_CASE("batch normalisation: a wrong rank is an error") {
  CHECK(error_of([] { nn::BatchNorm2d{3}(ones({2, 3})); }) ==
        "BatchNorm2d: got shape [2, 3]; it must be (n, channels, height, width)");
  CHECK(error_of([] { nn::BatchNorm3d{3}(ones({2, 3, 4, 4})); }) ==
        "BatchNorm3d: got shape [2, 3, 4, 4]; it must be (n, channels, depth, height, width)");
  CHECK(error_of([] { nn::BatchNorm1d{3}(ones({2})); }) ==
        "BatchNorm1d: got shape [2]; it must be (n, channels) or (n, channels, length)");
}
