#pragma once

#include <miniparallel/miniparallel.h>

// Small models of every sort, with a batch for each, in float64.

namespace miniparallel::testing {

struct Mlp {
  nn::Linear first{6, 16}, second{16, 4};
  Tensor operator()(const Tensor& x) { return second(relu(first(x))); }
  static Tensor batch(std::int64_t rows) { return randn({rows, 6}, {.dtype = float64}); }
};

struct DropoutMlp {
  nn::Linear first{6, 16}, second{16, 4};
  nn::Dropout drop{0.4};
  Tensor operator()(const Tensor& x) { return second(drop(relu(first(x)))); }
  static Tensor batch(std::int64_t rows) { return Mlp::batch(rows); }
};

struct NormCnn {
  nn::Conv2d conv{1, 4, 3};
  nn::BatchNorm2d norm{4};
  nn::Linear fc{4 * 3 * 3, 4};
  Tensor operator()(Tensor x) {
    x = max_pool2d(relu(norm(conv(x))), 2);
    return fc(x.flatten(1));
  }
  static Tensor batch(std::int64_t rows) { return randn({rows, 1, 8, 8}, {.dtype = float64}); }
};

struct Transformer {
  nn::Linear embed{6, 8};
  nn::LayerNorm norm1{8}, norm2{8};
  nn::MultiheadAttention attention{8, 2};
  nn::Linear wide{8, 16}, narrow{16, 8}, head{8, 4};
  Tensor operator()(const Tensor& x) {
    Tensor h = embed(x);
    h = h + attention(norm1(h), {.causal = true});
    h = h + narrow(gelu(wide(norm2(h))));
    return mean(head(h), {1});
  }
  static Tensor batch(std::int64_t rows) { return randn({rows, 5, 6}, {.dtype = float64}); }
};

/// Its parameters travel in two buckets: the first two layers but for a bias, and the rest. Floats.
struct Deep {
  nn::Linear first{64, 64}, wide{64, 8192}, last{8192, 64};
  Tensor operator()(const Tensor& x) { return last(relu(wide(tanh(first(x))))); }
  static Tensor batch(std::int64_t rows) { return randn({rows, 64}); }
  static constexpr std::int64_t kBytes = 4 * (64 * 64 + 64 + 2 * 64 * 8192 + 8192 + 64);
};

/// Tied, frozen, unused and conditional parameters.
struct Odd {
  nn::Linear in{6, 6}, tied{6, 6}, frozen{6, 6}, unused{6, 6}, rare{6, 6}, out{6, 4};
  Odd() {
    tied.weight = in.weight;
    frozen.weight.requires_grad_(false);
    frozen.bias.requires_grad_(false);
  }
  Tensor operator()(const Tensor& x) {
    Tensor h = tied(tanh(in(x)));
    h = frozen(h);
    if (x.size(0) > 2) h = h + rare(x);
    return out(h);
  }
  static Tensor batch(std::int64_t rows) { return Mlp::batch(rows); }
  MINIPARALLEL_MEMBERS(in, tied, frozen, unused, rare, out)
};

}  // namespace miniparallel::testing
