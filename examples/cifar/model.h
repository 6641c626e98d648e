#pragma once

#include <miniparallel/nn.h>
#include <miniparallel/ops.h>

#include <cstdint>
#include <optional>
#include <vector>

/// The ResNets for images of 32 x 32 pixels (He et al.: "Deep residual learning for image recognition", 2015,
/// section 4.2): three stages of 16, 32 and 64 channels, each half as wide and high as the one before.
namespace cifar {

using miniparallel::Tensor;
namespace nn = miniparallel::nn;

inline constexpr nn::BatchNormOptions kNormRelu{.activation = miniparallel::Activation::relu};

/// Brings x to the size of a block that changes it.
struct Shortcut {
  nn::Conv2d conv;
  nn::BatchNorm2d norm;
  Tensor operator()(const Tensor& x) { return norm(conv(x)); }
};

/// Two convolutions learn what to add to x.
struct ResidualBlock {
  nn::Conv2d conv1;
  nn::BatchNorm2d norm1;
  nn::Conv2d conv2;
  nn::BatchNorm2d norm2;
  std::optional<Shortcut> shortcut;

  Tensor operator()(const Tensor& x) {
    const Tensor y = conv2(norm1(conv1(x)));
    return norm2(y, shortcut ? (*shortcut)(x) : x);  // relu(norm(y) + x)
  }
};

inline ResidualBlock residual_block(std::int64_t in, std::int64_t out) {
  const std::int64_t stride = out / in;
  ResidualBlock block{.conv1 = {in, out, 3, {.stride = stride, .padding = 1, .bias = false}},
                      .norm1 = {out, kNormRelu},
                      .conv2 = {out, out, 3, {.padding = 1, .bias = false}},
                      .norm2 = {out, kNormRelu},
                      .shortcut = {}};
  if (stride > 1)
    block.shortcut = Shortcut{.conv = {in, out, 1, {.stride = stride, .bias = false}}, .norm = {out}};
  return block;
}

/// Images (n, 3, 32, 32) -> logits of ten classes. `blocks` per stage: 3 make ResNet-20, n make 6 n + 2.
struct ResNet {
  nn::Conv2d conv{3, 16, 3, {.padding = 1, .bias = false}};
  nn::BatchNorm2d norm{16, kNormRelu};
  std::vector<ResidualBlock> blocks;
  nn::Linear head{64, 10};

  explicit ResNet(int blocks_per_stage) {
    std::int64_t in = 16;
    for (const std::int64_t out : {16, 32, 64})
      for (int i = 0; i < blocks_per_stage; ++i, in = out) blocks.push_back(residual_block(in, out));
  }
  Tensor operator()(Tensor x) {
    x = norm(conv(x));
    for (ResidualBlock& block : blocks) x = block(x);
    return head(mean(x, {2, 3}));
  }
  MINIPARALLEL_MEMBERS(conv, norm, blocks, head)
};

}  // namespace cifar
