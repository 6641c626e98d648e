#pragma once

#include <miniparallel/miniparallel.h>

// Small nets of every sort, each with a batch to train on.

namespace miniparallel::testing {

struct Mlp {
  nn::Linear first{20, 32};
  nn::Dropout drop{0.25};
  nn::Linear second{32, 5};

  Tensor operator()(const Tensor& x) { return second(drop(relu(first(x)))); }
  static Tensor inputs() { return randn({48, 20}); }
  static Tensor targets() { return randint(0, 5, {48}); }
  using Optimizer = optim::Adam;
};

struct Cnn {
  nn::Conv2d conv1{1, 8, 3}, conv2{8, 40, 3};
  nn::Dropout drop1{0.25}, drop2{0.5};
  nn::Linear fc1{640, 32}, fc2{32, 5};

  Tensor operator()(Tensor x) {
    x = max_pool2d(relu(conv2(relu(conv1(x)))), 2);
    return fc2(drop2(relu(fc1(drop1(x).flatten(1)))));
  }
  static Tensor inputs() { return randn({16, 1, 12, 12}); }
  static Tensor targets() { return randint(0, 5, {16}); }
  using Optimizer = optim::Adam;
};

/// A language model of one block: of 3 texts of 11 tokens, each token's next.
struct Transformer {
  nn::Embedding tokens{23, 12}, positions{11, 12};
  nn::Buffer places{arange(11)};
  nn::LayerNorm norm1{Shape{12}};
  nn::MultiheadAttention attention{12, 3};
  nn::LayerNorm norm2{Shape{12}};
  nn::Linear wide{12, 48, {.activation = Activation::gelu_tanh}}, narrow{48, 12};
  nn::LayerNorm norm3{Shape{12}};
  nn::Linear logits{12, 23};

  Tensor operator()(const Tensor& x) {
    Tensor h = tokens(x) + positions(places);
    h = h + attention(norm1(h), {.causal = true});
    h = h + narrow(wide(norm2(h)));
    return logits(norm3(h)).flatten(0, 1);
  }
  static Tensor inputs() { return randint(0, 23, {3, 11}); }
  static Tensor targets() { return randint(0, 23, {33}); }
  using Optimizer = optim::AdamW;
};

}  // namespace miniparallel::testing
