#include <miniparallel/miniparallel.h>

#include "tests/support/golden.h"

#include <doctest/doctest.h>

#include <cmath>
#include <sstream>

// Models of torchvision and of Hugging Face, as structs whose members have their names: their state dicts
// load as they are, and the logits are PyTorch's. tests/data/make_models.py has the other side.

namespace miniparallel {
namespace {

// --- torchvision's ResNets (He et al.: "Deep residual learning for image recognition", 2015)

nn::Conv2d conv(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1) {
  return {in, out, kernel, {.stride = stride, .padding = kernel / 2, .bias = false}};
}

std::optional<nn::Sequential> shortcut(std::int64_t in, std::int64_t out, std::int64_t stride) {
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
        bn1(width),
        bn2(width),
        downsample(shortcut(in, width, stride)) {}
  Tensor operator()(const Tensor& x) {
    const Tensor y = bn2(conv2(relu(bn1(conv1(x)))));
    return relu(y + (downsample ? (*downsample)(x) : x));
  }
  MINIPARALLEL_MEMBERS(conv1, conv2, bn1, bn2, downsample)
};

struct Bottleneck {
  static constexpr std::int64_t expansion = 4;
  nn::Conv2d conv1, conv2, conv3;
  nn::BatchNorm2d bn1, bn2, bn3;
  std::optional<nn::Sequential> downsample;

  Bottleneck(std::int64_t in, std::int64_t width, std::int64_t stride)
      : conv1(conv(in, width, 1)),
        conv2(conv(width, width, 3, stride)),
        conv3(conv(width, 4 * width, 1)),
        bn1(width),
        bn2(width),
        bn3(4 * width),
        downsample(shortcut(in, 4 * width, stride)) {}
  Tensor operator()(const Tensor& x) {
    const Tensor y = bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x))))))));
    return relu(y + (downsample ? (*downsample)(x) : x));
  }
  MINIPARALLEL_MEMBERS(conv1, conv2, conv3, bn1, bn2, bn3, downsample)
};

template <class Block>
struct ResNet {
  nn::Conv2d conv1{3, 64, 7, {.stride = 2, .padding = 3, .bias = false}};
  nn::BatchNorm2d bn1{64};
  std::vector<Block> layer1, layer2, layer3, layer4;
  nn::Linear fc{512 * Block::expansion, 1000};

  explicit ResNet(std::array<int, 4> blocks) {
    std::int64_t in = 64, width = 64;
    for (auto* const layer : {&layer1, &layer2, &layer3, &layer4}) {
      const int count = blocks[static_cast<std::size_t>(std::log2(width / 64) + 0.5)];
      for (int i = 0; i < count; ++i) {
        layer->emplace_back(in, width, i == 0 && width > 64 ? 2 : 1);
        in = width * Block::expansion;
      }
      width *= 2;
    }
  }
  Tensor operator()(Tensor x) {
    x = max_pool2d(relu(bn1(conv1(x))), 3, {.stride = 2, .padding = 1});
    for (auto* const layer : {&layer1, &layer2, &layer3, &layer4})
      for (Block& block : *layer) x = block(x);
    return fc(mean(x, {2, 3}));
  }
  MINIPARALLEL_MEMBERS(conv1, bn1, layer1, layer2, layer3, layer4, fc)
};

// --- Hugging Face's GPT-2 (Radford et al.: "Language models are unsupervised multitask learners", 2019)

struct Conv1D {  // a linear layer, its weight (in, out)
  nn::Parameter weight, bias;
  Conv1D(std::int64_t in, std::int64_t out) : weight(zeros({in, out})), bias(zeros({out})) {}
  Tensor operator()(const Tensor& x) const { return matmul(x, weight) + bias; }
  MINIPARALLEL_MEMBERS(weight, bias)
};

struct Attention {
  Conv1D c_attn, c_proj;
  std::int64_t heads;

  Tensor operator()(const Tensor& x) {
    const std::int64_t width = x.size(-1);
    std::vector<Tensor> parts = c_attn(x).split(width, -1);
    for (Tensor& part : parts) part = part.unflatten(-1, {heads, width / heads}).transpose(1, 2);
    const Tensor y = scaled_dot_product_attention(parts[0], parts[1], parts[2], {}, {.causal = true});
    return c_proj(y.transpose(1, 2).flatten(2));
  }
};

struct Mlp {
  Conv1D c_fc, c_proj;
  Tensor operator()(const Tensor& x) { return c_proj(gelu(c_fc(x), Gelu::tanh)); }
};

struct Block {
  nn::LayerNorm ln_1;
  Attention attn;
  nn::LayerNorm ln_2;
  Mlp mlp;
  Tensor operator()(Tensor x) {
    x = x + attn(ln_1(x));
    return x + mlp(ln_2(x));
  }
};

struct Transformer {
  nn::Embedding wte, wpe;
  std::vector<Block> h;
  nn::LayerNorm ln_f;
};

struct Gpt2 {
  Transformer transformer;

  Gpt2(std::int64_t vocabulary, std::int64_t places, std::int64_t width, int layers, std::int64_t heads)
      : transformer{.wte = {vocabulary, width}, .wpe = {places, width}, .h = {}, .ln_f = {width}} {
    for (int i = 0; i < layers; ++i)
      transformer.h.push_back({.ln_1 = {width},
                               .attn = {{width, 3 * width}, {width, width}, heads},
                               .ln_2 = {width},
                               .mlp = {{width, 4 * width}, {4 * width, width}}});
  }
  Tensor operator()(const Tensor& tokens) {
    Tensor x = transformer.wte(tokens) + transformer.wpe(arange(tokens.size(1)));
    for (Block& block : transformer.h) x = block(x);
    return matmul(transformer.ln_f(x), transformer.wte.weight.t());
  }
  MINIPARALLEL_MEMBERS(transformer)
};

// --- the weights of make_models.py

Tensor spread(const Shape& shape, std::uint64_t seed) {
  std::vector<float> values(static_cast<std::size_t>(shape.numel()));
  for (std::size_t k = 0; k < values.size(); ++k) {
    std::uint64_t h = (k * 2654435761U + seed * 97531 + 12345) & 0xffffffff;
    h ^= h >> 15;
    h = h * 2246822519U & 0xffffffff;
    h ^= h >> 13;
    values[k] = static_cast<float>(static_cast<double>(h) / 4294967296.0 - 0.5);
  }
  return tensor(values, shape);
}

Tensor generated(const std::string& name, const Shape& shape, std::uint64_t seed) {
  if (name.ends_with("num_batches_tracked")) return zeros(shape, {.dtype = int64});
  const Tensor u = spread(shape, seed);
  if (shape.rank() > 1)
    return u * static_cast<float>(
                   std::sqrt(24.0 * static_cast<double>(shape[0]) / static_cast<double>(shape.numel())));
  if (name.ends_with("running_var")) return 1 + u / 2;
  return name.ends_with("weight") ? 1 + u / 4 : u / 4;
}

/// The state dict of PyTorch's model, by the names and shapes in the notes of the file.
StateDict theirs(const std::string& model) {
  std::istringstream lines(load_metadata(MINIPARALLEL_TEST_DATA "/models.safetensors").at(model));
  StateDict state;
  std::string line;
  for (std::uint64_t seed = 0; std::getline(lines, line); ++seed) {
    std::istringstream words(line);
    std::string name;
    Shape shape;
    words >> name;
    for (std::int64_t size = 0; words >> size;) shape.push_back(size);
    state[name] = generated(name, shape, seed);
  }
  return state;
}

template <class Model>
void check_logits(const std::string& name, Model& model, const Tensor& x) {
  CAPTURE(name);
  load_state_dict(model, theirs(name));  // every name and every shape, no more and no less
  eval(model);
  const NoGradGuard no_gradients;
  const Tensor expected = testing::golden("models.safetensors", name);
  const Tensor logits = model(x).slice(-1, 0, expected.size(-1));
  CHECK(testing::largest_difference(logits, expected) < 1e-4 * testing::largest_magnitude(expected));
}

TEST_CASE("models of PyTorch: torchvision's ResNet-18 and ResNet-50 load by name, and give its logits") {
  const Tensor images = spread({2, 3, 64, 48}, 1000);
  ResNet<BasicBlock> small({2, 2, 2, 2});
  check_logits("resnet18", small, images);
  ResNet<Bottleneck> large({3, 4, 6, 3});
  check_logits("resnet50", large, images);
}

TEST_CASE("models of PyTorch: Hugging Face's GPT-2 loads by name, and gives its logits") {
  Gpt2 model(61, 16, 24, 2, 3);
  check_logits("gpt2", model, remainder(arange(22) * 7, 61).view({2, 11}));
}

}  // namespace
}  // namespace miniparallel
