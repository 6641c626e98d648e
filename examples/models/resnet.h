#pragma once

#include <miniparallel/nn.h>
#include <miniparallel/ops.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

/// ResNets for large images (He et al.: "Deep residual learning for image recognition", 2015) whose members
/// have torchvision's names: its weights load as they are.
namespace torchvision {

using miniparallel::Tensor;
namespace nn = miniparallel::nn;

inline constexpr nn::BatchNormOptions kNormRelu{.activation = miniparallel::Activation::relu};

inline nn::Conv2d conv(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1) {
  return {in, out, kernel, {.stride = stride, .padding = kernel / 2, .bias = false}};
}

/// Brings x to the size of a block that changes it.
inline std::optional<nn::Sequential> shortcut(std::int64_t in, std::int64_t out, std::int64_t stride) {
  if (in == out && stride == 1) return std::nullopt;
  return nn::Sequential(conv(in, out, 1, stride), nn::BatchNorm2d{out});
}

struct BasicBlock {
  static constexpr std::int64_t expansion = 1;
  nn::Conv2d conv1, conv2;
  nn::BatchNorm2d bn1, bn2;
  std::optional<nn::Sequential> downsample;

  BasicBlock(std::int64_t in, std::int64_t width, std::int64_t stride)
      : conv1(conv(in, width, 3, stride)),
        conv2(conv(width, width, 3)),
        bn1(width, kNormRelu),
        bn2(width, kNormRelu),
        downsample(shortcut(in, width, stride)) {}
  Tensor operator()(const Tensor& x) {
    const Tensor y = conv2(bn1(conv1(x)));
    return bn2(y, downsample ? (*downsample)(x) : x);
  }
  MINIPARALLEL_MEMBERS(conv1, conv2, bn1, bn2, downsample)
};

/// The stride is that of the 3 x 3 convolution.
struct Bottleneck {
  static constexpr std::int64_t expansion = 4;
  nn::Conv2d conv1, conv2, conv3;
  nn::BatchNorm2d bn1, bn2, bn3;
  std::optional<nn::Sequential> downsample;

  Bottleneck(std::int64_t in, std::int64_t width, std::int64_t stride)
      : conv1(conv(in, width, 1)),
        conv2(conv(width, width, 3, stride)),
        conv3(conv(width, 4 * width, 1)),
        bn1(width, kNormRelu),
        bn2(width, kNormRelu),
        bn3(4 * width, kNormRelu),
        downsample(shortcut(in, 4 * width, stride)) {}
  Tensor operator()(const Tensor& x) {
    const Tensor y = conv3(bn2(conv2(bn1(conv1(x)))));
    return bn3(y, downsample ? (*downsample)(x) : x);
  }
  MINIPARALLEL_MEMBERS(conv1, conv2, conv3, bn1, bn2, bn3, downsample)
};

/// Images (n, 3, rows, columns) -> logits of 1000 classes.
template <class Block>
struct ResNet {
  nn::Conv2d conv1{3, 64, 7, {.stride = 2, .padding = 3, .bias = false}};
  nn::BatchNorm2d bn1{64, kNormRelu};
  std::vector<Block> layer1, layer2, layer3, layer4;
  nn::Linear fc{512 * Block::expansion, 1000};

  explicit ResNet(const std::array<int, 4>& blocks) {
    const std::array layers{&layer1, &layer2, &layer3, &layer4};
    std::int64_t in = 64;
    for (std::size_t stage = 0; stage < layers.size(); ++stage) {
      const std::int64_t width = std::int64_t{64} << stage;
      for (int i = 0; i < blocks[stage]; ++i, in = width * Block::expansion)
        layers[stage]->emplace_back(in, width, i == 0 && stage > 0 ? 2 : 1);
    }
  }
  Tensor operator()(Tensor x) {
    x = max_pool2d(bn1(conv1(x)), 3, {.stride = 2, .padding = 1});
    for (auto* const layer : {&layer1, &layer2, &layer3, &layer4})
      for (Block& block : *layer) x = block(x);
    return fc(mean(x, {2, 3}));
  }
  MINIPARALLEL_MEMBERS(conv1, bn1, layer1, layer2, layer3, layer4, fc)
};

inline ResNet<BasicBlock> resnet18() { return ResNet<BasicBlock>({2, 2, 2, 2}); }
inline ResNet<Bottleneck> resnet50() { return ResNet<Bottleneck>({3, 4, 6, 3}); }

}  // namespace torchvision
