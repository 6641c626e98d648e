#pragma once

#include <miniparallel/nn.h>
#include <miniparallel/ops.h>

#include <cstdint>
#include <vector>

/// GPT-2 (Radford et al.: "Language models are unsupervised multitask learners", 2019) whose members have the
/// names of Hugging Face's: its weights load as they are.
namespace huggingface {

using miniparallel::Activation;
using miniparallel::Tensor;
namespace nn = miniparallel::nn;

/// A linear layer whose weight is (in, out).
struct Conv1D {
  nn::Parameter weight, bias;
  Conv1D(std::int64_t in, std::int64_t out)
      : weight(0.02 * miniparallel::randn({in, out})), bias(miniparallel::zeros({out})) {}
  Tensor operator()(const Tensor& x, Activation activation = Activation::none) const {
    return linear(x, weight.t(), bias, activation);
  }
  MINIPARALLEL_MEMBERS(weight, bias)
};

struct Attention {
  Conv1D c_attn, c_proj;
  std::int64_t heads;

  Tensor operator()(const Tensor& x) const {
    const std::int64_t width = x.size(-1);
    std::vector<Tensor> parts = c_attn(x).split(width, -1);
    for (Tensor& part : parts) part = part.unflatten(-1, {heads, width / heads}).transpose(1, 2);
    const Tensor y = scaled_dot_product_attention(parts[0], parts[1], parts[2], {}, {.causal = true});
    return c_proj(y.transpose(1, 2).flatten(2));
  }
};

struct Mlp {
  Conv1D c_fc, c_proj;
  Tensor operator()(const Tensor& x) const { return c_proj(c_fc(x, Activation::gelu_tanh)); }
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

struct Gpt2Sizes {
  std::int64_t vocabulary = 50257, places = 1024, width = 768, layers = 12, heads = 12;
};

/// Tokens (n, length) -> logits (n, length, vocabulary) of the token that comes next. Without dropout.
struct Gpt2 {
  Transformer transformer;

  /// The default is the smallest of the paper, 124 million parameters.
  explicit Gpt2(const Gpt2Sizes& of = {})
      : transformer{
            .wte = {of.vocabulary, of.width}, .wpe = {of.places, of.width}, .h = {}, .ln_f = {of.width}} {
    for (std::int64_t i = 0; i < of.layers; ++i)
      transformer.h.push_back({.ln_1 = {of.width},
                               .attn = {{of.width, 3 * of.width}, {of.width, of.width}, of.heads},
                               .ln_2 = {of.width},
                               .mlp = {{of.width, 4 * of.width}, {4 * of.width, of.width}}});
  }
  Tensor operator()(const Tensor& tokens) {
    const Tensor places = miniparallel::arange(tokens.size(1), {.device = tokens.device()});
    Tensor x = transformer.wte(tokens) + transformer.wpe(places);
    for (Block& block : transformer.h) x = block(x);
    return linear(transformer.ln_f(x), transformer.wte.weight);  // the head is the embedding
  }
  MINIPARALLEL_MEMBERS(transformer)
};

}  // namespace huggingface
