#pragma once

#include <miniparallel/miniparallel.h>

#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

// The models, each with its usual optimizer and batches. No step computes anything, so batches hold what was
// in their memory. They are page-locked, as a DataLoader with pin_memory makes them.

namespace scaling {

using namespace miniparallel;

inline Tensor pinned(const Shape& shape, DType dtype = float32) {
  const data::detail::PinMemory scope(true);
  return empty(shape, {.dtype = dtype});
}

struct Mlp {
  nn::Linear fc1{784, 512}, fc2{512, 256}, fc3{256, 10};
  Tensor operator()(const Tensor& x) { return fc3(relu(fc2(relu(fc1(x))))); }

  static constexpr const char* name = "mlp";
  static constexpr std::int64_t rows = 32;
  static Mlp make() { return {}; }
  static optim::Adam optimizer(const std::vector<Tensor>& parameters) {
    return optim::Adam(parameters, {.lr = 1e-3});
  }
  static std::pair<Tensor, Tensor> batch(std::int64_t n) { return {pinned({n, 784}), pinned({n}, int64)}; }
  static Tensor loss(const Tensor& outputs, const Tensor& y) { return cross_entropy(outputs, y); }
};

/// A convolution and its normalisation.
struct ConvNorm {
  nn::Conv2d conv;
  nn::BatchNorm2d norm;
  Tensor operator()(const Tensor& x) { return norm(conv(x)); }
};
inline ConvNorm conv_norm(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1) {
  return {.conv = {in, out, kernel, {.stride = stride, .padding = kernel / 2, .bias = false}}, .norm = {out}};
}

struct Bottleneck {
  ConvNorm narrow, middle, wide;
  std::optional<ConvNorm> shortcut;
  Tensor operator()(const Tensor& x) {
    const Tensor y = wide(relu(middle(relu(narrow(x)))));
    return relu(y + (shortcut ? (*shortcut)(x) : x));
  }
};

/// He, Zhang, Ren, Sun: "Deep residual learning for image recognition", 2016; the stride is that
/// of the 3x3 layer.
struct ResNet50 {
  ConvNorm stem;
  std::vector<Bottleneck> blocks;
  nn::Linear head;
  Tensor operator()(Tensor x) {
    x = max_pool2d(relu(stem(x)), 3, {.stride = 2, .padding = 1});
    for (Bottleneck& block : blocks) x = block(x);
    return head(adaptive_avg_pool2d(x, 1).flatten(1));
  }

  static constexpr const char* name = "resnet50";
  static constexpr std::int64_t rows = 128;
  static ResNet50 make() {
    ResNet50 net{.stem = conv_norm(3, 64, 7, 2), .blocks = {}, .head = {2048, 1000}};
    struct Stage {
      int count;
      std::int64_t width;
    };
    std::int64_t in = 64;
    for (const auto& [count, width] : {Stage{3, 64}, Stage{4, 128}, Stage{6, 256}, Stage{3, 512}})
      for (int i = 0; i < count; ++i) {
        const std::int64_t out = 4 * width, stride = i == 0 && width > 64 ? 2 : 1;
        net.blocks.push_back({.narrow = conv_norm(in, width, 1),
                              .middle = conv_norm(width, width, 3, stride),
                              .wide = conv_norm(width, out, 1),
                              .shortcut = {}});
        if (i == 0) net.blocks.back().shortcut = conv_norm(in, out, 1, stride);
        in = out;
      }
    return net;
  }
  static optim::SGD optimizer(const std::vector<Tensor>& parameters) {
    return optim::SGD(parameters, {.lr = 0.1, .momentum = 0.9, .weight_decay = 1e-4});
  }
  static std::pair<Tensor, Tensor> batch(std::int64_t n) {
    return {pinned({n, 3, 224, 224}), pinned({n}, int64)};
  }
  static Tensor loss(const Tensor& outputs, const Tensor& y) { return cross_entropy(outputs, y); }
};

struct Block {
  nn::LayerNorm norm1{768};
  nn::MultiheadAttention attention{768, 12};
  nn::LayerNorm norm2{768};
  nn::Linear up{768, 3072, {.activation = Activation::gelu_tanh}}, down{3072, 768};
  Tensor operator()(Tensor x) {
    x = x + attention(norm1(x), {.causal = true});
    return x + down(up(norm2(x)));
  }
};

/// The smallest model of Radford et al.: "Language models are unsupervised multitask learners", 2019, without
/// dropout. Returns the loss of its texts, so that no logits leave a GPU.
struct Gpt2 {
  static constexpr std::int64_t kVocabulary = 50257, kPlaces = 1024;
  nn::Embedding token{kVocabulary, 768}, position{kPlaces, 768};
  nn::Buffer places{arange(kPlaces)};
  std::array<Block, 12> blocks;
  nn::LayerNorm norm{768};
  Tensor operator()(const Tensor& texts) {
    Tensor x = token(texts.narrow(1, 0, kPlaces)) + position(places);
    for (Block& block : blocks) x = block(x);
    return cross_entropy(linear(norm(x), token.weight).flatten(0, 1), texts.narrow(1, 1, kPlaces).flatten());
  }

  static constexpr const char* name = "gpt2";
  static constexpr std::int64_t rows = 8;
  static Gpt2 make() { return {}; }
  static optim::AdamW optimizer(const std::vector<Tensor>& parameters) {
    return optim::AdamW(parameters, {.lr = 6e-4});
  }
  static std::pair<Tensor, Tensor> batch(std::int64_t n) { return {pinned({n, kPlaces + 1}, int64), {}}; }
  static Tensor loss(const Tensor& losses, const Tensor&) { return mean(losses); }
};

}  // namespace scaling
