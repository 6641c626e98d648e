#include <doctest/doctest.h>
#include <miniparallel/miniparallel.h>

#include <cmath>

#include "tests/support/golden.h"

using namespace miniparallel;

namespace {

/// What PyTorch computed for one case; see tests/data/make_layers.py for the names.
class Golden {
 public:
  explicit Golden(std::string name) : name_(std::move(name)) {}

  const Tensor& operator[](const std::string& part) const {
    return testing::golden("layers.safetensors", name_ + "." + part);
  }
  /// All that starts with "{part}.", by the rest of its name.
  StateDict all(const std::string& part) const {
    StateDict found;
    const std::string prefix = name_ + "." + part + ".";
    for (const auto& [name, tensor] : testing::goldens("layers.safetensors")) {
      if (name.starts_with(prefix)) found[name.substr(prefix.size())] = tensor;
    }
    return found;
  }

 private:
  std::string name_;
};

void check_close(const std::string& what, const Tensor& got, const Tensor& expected) {
  INFO(what);
  REQUIRE(got.defined());
  CHECK(got.dtype() == expected.dtype());
  CHECK(testing::largest_difference(got, expected) <=
        1e-11 * std::max(1.0, testing::largest_magnitude(expected)));
}

using Inputs = std::vector<Tensor>;

/// Loads PyTorch's parameters, so names and shapes must agree; then compares output, buffers and gradients.
template <class Layer, class Call>
void check_against_pytorch(const std::string& name, Layer layer, Call call) {
  CAPTURE(name);
  const Golden golden(name);
  to(layer, float64);
  load_state_dict(layer, golden.all("state"));
  Inputs inputs;
  for (const auto& [i, input] : golden.all("input")) {
    inputs.push_back(input.clone());
    if (input.is_floating()) inputs.back().requires_grad_();
  }
  const Tensor output = call(layer, inputs);
  check_close("output", output, golden["output"]);
  output.backward(golden["cotangent"]);
  for (const auto& [key, buffer] : named_buffers(layer)) check_close(key, buffer, golden["after." + key]);
  for (const auto& [key, parameter] : named_parameters(layer)) {
    check_close("gradient of " + key, parameter.grad(), golden["grad." + key]);
  }
  for (const auto& [i, gradient] : golden.all("input_grad")) {
    check_close("gradient of input " + i, inputs[static_cast<std::size_t>(std::stoi(i))].grad(), gradient);
  }
}

template <class Layer>
void check_against_pytorch(const std::string& name, Layer layer) {
  check_against_pytorch(name, std::move(layer), [](Layer& l, const Inputs& x) { return l(x[0]); });
}

template <class Layer>
Layer evaluating(Layer layer) {
  eval(layer);
  return layer;
}

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("layers against PyTorch: linear") {
  check_against_pytorch("linear", nn::Linear{5, 3});
  check_against_pytorch("linear_no_bias", nn::Linear{5, 3, {.bias = false}});
}

TEST_CASE("layers against PyTorch: conv2d") {
  check_against_pytorch("conv2d", nn::Conv2d{2, 4, 3});
  check_against_pytorch(
      "conv2d_options",
      nn::Conv2d{4,
                 6,
                 {3, 2},
                 {.stride = {2, 1}, .padding = {1, 2}, .dilation = {1, 2}, .groups = 2, .bias = false}});
}

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

TEST_CASE("layers against PyTorch: embedding") {
  check_against_pytorch("embedding", nn::Embedding{7, 4});
  check_against_pytorch("embedding_padding", nn::Embedding{7, 4, {.padding_idx = -2}});
}

TEST_CASE("layers against PyTorch: multi-head attention") {
  check_against_pytorch("attention", nn::MultiheadAttention{8, 2});
  check_against_pytorch(
      "attention_causal", nn::MultiheadAttention{8, 2, {.bias = false}},
      [](nn::MultiheadAttention& layer, const Inputs& x) { return layer(x[0], {.causal = true}); });
  check_against_pytorch("attention_mask", nn::MultiheadAttention{8, 4},
                        [](nn::MultiheadAttention& layer, const Inputs& x) {
                          return layer(x[0], x[1], x[2], {.mask = Golden("attention_mask")["keep"]});
                        });
}

TEST_CASE("layers against PyTorch: sequential") {
  check_against_pytorch("sequential",
                        nn::Sequential{nn::Conv2d{1, 3, 3, {.padding = 1}}, nn::BatchNorm2d{3}, nn::ReLU{},
                                       nn::MaxPool2d{2}, nn::Flatten{}, nn::Linear{12, 4}, nn::Tanh{}});
}

TEST_CASE("layers start as PyTorch's do") {
  const auto largest = [](const Tensor& x) { return testing::largest_magnitude(x); };
  manual_seed(3);
  const nn::Linear linear{400, 200};
  const double bound = 1.0 / 20;
  CHECK(largest(linear.weight) <= bound);
  CHECK(largest(linear.weight) > 0.999 * bound);
  CHECK(largest(linear.bias) <= bound);
  CHECK(largest(linear.bias) > 0.9 * bound);

  const nn::Conv2d conv{8, 64, {5, 3}, {.groups = 2}};
  const double conv_bound = 1 / std::sqrt(4.0 * 5 * 3);
  CHECK(largest(conv.weight) <= conv_bound);
  CHECK(largest(conv.weight) > 0.99 * conv_bound);

  const nn::Embedding embedding{1000, 100, {.padding_idx = 7}};
  CHECK(mean(embedding.weight).item() == doctest::Approx(0).epsilon(0.02));
  CHECK(var(embedding.weight).item() == doctest::Approx(1).epsilon(0.02));
  CHECK(largest(embedding.weight[7]) == 0);
  CHECK(largest(embedding.weight[6]) > 0);
  CHECK(embedding.weight.requires_grad());

  const nn::MultiheadAttention attention{64, 4};
  const double xavier = std::sqrt(6.0 / (64 + 192));
  CHECK(largest(attention.in_proj_weight) <= xavier);
  CHECK(largest(attention.in_proj_weight) > 0.99 * xavier);
  CHECK(largest(attention.in_proj_bias) == 0);
  CHECK(largest(attention.out_proj.bias) == 0);
  CHECK(largest(attention.out_proj.weight) <= 1.0 / 8);
}

TEST_CASE("init: bounds and deviations of the formulas") {
  Tensor weight = empty({50, 40, 3, 3});
  CHECK(nn::init::fans(weight).in == 360);
  CHECK(nn::init::fans(weight).out == 450);
  const auto bound = [&](double expected) {
    const double largest = testing::largest_magnitude(weight);
    return largest <= expected && largest > 0.99 * expected;
  };
  const auto deviation = [&] { return std::sqrt(var(weight).item()); };

  CHECK(nn::init::xavier_uniform_(weight, 2).is_same(weight));
  CHECK(bound(2 * std::sqrt(6.0 / 810)));
  nn::init::xavier_normal_(weight);
  CHECK(deviation() == doctest::Approx(std::sqrt(2.0 / 810)).epsilon(0.03));
  nn::init::kaiming_uniform_(weight, {.negative_slope = std::sqrt(5.0)});
  CHECK(bound(1 / std::sqrt(360.0)));
  nn::init::kaiming_normal_(weight, {.mode = nn::init::Fan::out});
  CHECK(deviation() == doctest::Approx(std::sqrt(2.0 / 450)).epsilon(0.03));
  nn::Parameter parameter(weight);
  nn::init::constant_(parameter, 3);
  CHECK(parameter.version() == 6);
  CHECK(error_of([] { nn::init::xavier_normal_(empty({3})); }).find("[3]") != std::string::npos);
}

TEST_CASE("Dropout: follows train and eval") {
  nn::Dropout dropout{0.5};
  const Tensor x = ones({1000});
  const double kept = dropout(x).sum().item() / 2;
  CHECK(kept > 400);
  CHECK(kept < 600);
  eval(dropout);
  CHECK(equal(dropout(x), x));
}

TEST_CASE("layers: bad sizes are errors that say which") {
  CHECK(error_of([] { nn::Linear{0, 3}; }) == "Linear: needs at least one feature on each side, got 0 and 3");
  CHECK(error_of([] {
          nn::Conv2d{3, 4, 3, {.groups = 2}};
        }) == "Conv2d: 2 groups must divide both 3 channels in and 4 out");
  CHECK(error_of([] {
          nn::MultiheadAttention{8, 3};
        }) == "MultiheadAttention: 3 heads must divide the width 8");
  CHECK(error_of([] {
          nn::Embedding{8, 3, {.padding_idx = 8}};
        }) == "Embedding: padding_idx 8 is none of 8 rows");
  CHECK(error_of([] {
          nn::BatchNorm2d{3}(ones({2, 3}));
        }) == "BatchNorm2d: expects (n, channels, height, width), got shape [2, 3]");
  CHECK(error_of([] { nn::BatchNorm1d{3}(ones({2})); }) ==
        "BatchNorm1d: expects (n, channels) or (n, channels, length), got shape [2]");
  CHECK(error_of([] {
          nn::MultiheadAttention{8, 2}(ones({2, 7}));
        }) == "MultiheadAttention: query, key and value are (..., length, 8), got [2, 7], [2, 7] and [2, 7]");
}

TEST_CASE("layers: copies share their tensors") {
  const nn::Linear layer{2, 3};
  const nn::Linear copy = layer;
  CHECK(copy.weight.is_same(layer.weight));
}
