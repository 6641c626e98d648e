#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

#include <cmath>
#include <string>

// Training in 16 bits, under Autocast and in float16 with a GradScaler, ends where training in float32 does.
// docs/mixed-precision.md has the same of larger models.

namespace miniparallel::testing {
namespace {

struct Examples {
  Tensor x, labels;
};

struct Result {
  double loss, accuracy;
};

struct Mlp {
  nn::Linear fc1{16, 64, {.activation = Activation::relu}}, fc2{64, 4};
  Tensor operator()(const Tensor& x) { return fc2(fc1(x)); }
  /// The label is the largest of the first four numbers.
  static Examples draw(std::int64_t n) {
    const Tensor x = randn({n, 16});
    return {x, argmax(x.narrow(1, 0, 4), 1)};
  }
};

struct Cnn {
  nn::Conv2d conv{1, 8, 3, {.padding = 1, .bias = false}};
  nn::BatchNorm2d norm{8, {.activation = Activation::relu}};
  nn::Linear fc{8, 2};
  Tensor operator()(const Tensor& x) { return fc(mean(norm(conv(x)), {2, 3})); }
  /// Noise, with bright rows or bright columns.
  static Examples draw(std::int64_t n) {
    const Tensor labels = randint(0, 2, {n});
    const Tensor lines = where(rand({n, 1, 8, 1}) < 0.4, ones({}), zeros({})).expand({n, 1, 8, 8});
    const Tensor is_column = (labels == 1).view({n, 1, 1, 1});
    return {where(is_column, lines.transpose(2, 3), lines) + 0.5 * randn({n, 1, 8, 8}), labels};
  }
};

struct Gpt {
  nn::Embedding token{8, 32}, position{12, 32};
  nn::LayerNorm norm1{32}, norm2{32};
  nn::MultiheadAttention attention{32, 4};
  nn::Linear up{32, 64, {.activation = Activation::gelu_tanh}}, down{64, 32}, head{32, 8};
  Tensor operator()(const Tensor& x) {
    Tensor y = token(x) + position(arange(12));
    y = y + attention(norm1(y), {.causal = true});
    y = y + down(up(norm2(y)));
    return head(y).flatten(0, 1);
  }
  /// Texts that count upwards, modulo 8, by a number of their own.
  static Examples draw(std::int64_t n) {
    const Tensor texts =
        remainder(randint(0, 8, {n, 1}) + randint(1, 4, {n, 1}) * arange(13).unsqueeze(0), 8);
    return {texts.narrow(1, 0, 12).contiguous(), texts.narrow(1, 1, 12).flatten()};
  }
};

/// By the dtype: float32 means without a guard.
template <class Model>
Result trained(DType dtype, int steps) {
  manual_seed(5);
  Model model;
  const Examples unseen = Model::draw(1000);
  const AutocastOptions autocast{.dtype = dtype == float32 ? bfloat16 : dtype, .enabled = dtype != float32};
  GradScaler scaler({.enabled = dtype == float16});
  optim::AdamW optimizer(parameters(model), {.lr = 5e-3});
  optim::CosineAnnealingLR scheduler(optimizer, {.t_max = steps});
  for (int step = 0; step < steps; ++step) {
    const Examples seen = Model::draw(64);
    Tensor loss;
    {
      const Autocast guard(autocast);
      loss = cross_entropy(model(seen.x), seen.labels);
    }
    scaler.scale(loss).backward();
    scaler.step(optimizer);
    scaler.update();
    optimizer.zero_grad();
    scheduler.step();
  }
  const NoGradGuard no_grad;
  const Autocast guard(autocast);
  eval(model);
  const Tensor logits = model(unseen.x);
  CHECK(logits.dtype() == dtype);
  return {cross_entropy(logits, unseen.labels).item(), accuracy(logits, unseen.labels).item()};
}

template <class Model>
void compare(int steps, double least) {
  const Result exact = trained<Model>(float32, steps);
  CHECK(exact.accuracy > least);
  for (const DType dtype : {bfloat16, float16}) {
    INFO(std::string(name(dtype)));
    const Result got = trained<Model>(dtype, steps);
    CHECK(got.loss != exact.loss);
    CHECK(std::abs(got.loss / exact.loss - 1) < 0.01);
    CHECK(std::abs(got.accuracy - exact.accuracy) <= 0.002);
  }
}

TEST_CASE("precision: an MLP in 16 bits is as good as in float32") { compare<Mlp>(150, 0.9); }
TEST_CASE("precision: a CNN in 16 bits is as good as in float32") { compare<Cnn>(120, 0.9); }
TEST_CASE("precision: a GPT in 16 bits is as good as in float32") { compare<Gpt>(120, 0.9); }

}  // namespace
}  // namespace miniparallel::testing
