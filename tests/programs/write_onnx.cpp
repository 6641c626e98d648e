#include <miniparallel/miniparallel.h>

#include "examples/models/gpt2.h"
#include "examples/models/resnet.h"

#include <cstdint>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

// Writes models as ONNX files, each with inputs and outputs beside it: write_onnx FOLDER, for read_onnx.py.

using namespace miniparallel;

namespace {

/// What a model may contain, a little of each.
struct Everything {
  nn::Linear first{6, 8};
  nn::LayerNorm norm{8};
  nn::RMSNorm root{8};
  nn::Linear second{8, 8};
  Tensor operator()(const Tensor& x, const Tensor& y) {
    const Tensor a = root(norm(first(x))), b = second(gelu(a)) / 3 - 1;
    const Tensor c = silu(b) + sigmoid(a) * tanh(b) + 2 / (1 + exp(-a)) + clamp(b, -0.5, 0.5) + relu(-b);
    const Tensor d = cat({c, softmax(c, 1)}, 1).view({-1, 4, 4}).transpose(1, 2);
    const Tensor e = d.permute({0, 2, 1}).slice(2, 1, 4, 2).flatten(1);
    const Tensor f = stack({e, leaky_relu(e, 0.2), elu(e), hardswish(e)}, 1);
    const Tensor g = f * y.unsqueeze(1) + maximum(f, 0.1 * f) + pow(abs(f) + 0.1, 1.5);
    return mean(g, {1}, true).expand({-1, 3, -1}) + amax(g, {2}, true).narrow(1, 0, 3) +
           sqrt(sum(square(g), {1, 2})).view({-1, 1, 1});
  }
  MINIPARALLEL_MEMBERS(first, norm, root, second)
};

/// Convolutions, pools, and normalisation whose statistics are not those of the beginning.
struct Image {
  nn::Conv2d a{2, 6, 3, {.stride = 2, .padding = 1, .dilation = 1, .groups = 2}};
  nn::BatchNorm2d norm{6};
  nn::Conv2d b{6, 4, 3, {.padding = 2, .dilation = 2}};
  Tensor operator()(const Tensor& x) {
    const Tensor y = relu(norm(a(x)));
    const Tensor z = avg_pool2d(max_pool2d(b(y), 2), 2, {.padding = 1});
    return adaptive_avg_pool2d(z, 1).flatten(1);
  }
  MINIPARALLEL_MEMBERS(a, norm, b)
};

/// Cells, layers in both directions, and sums on the way.
struct Recurrent {
  nn::LSTM lstm{3, 5, {.num_layers = 2, .batch_first = true, .bidirectional = true}};
  nn::GRU gru{10, 4, {.batch_first = true}};
  nn::RNN rnn{4, 6, {.batch_first = true}};
  Tensor operator()(const Tensor& x) { return cumsum(rnn(gru(lstm(x).first).first).first, 1); }
  MINIPARALLEL_MEMBERS(lstm, gru, rnn)
};

template <class Model>
void write(Model& model, const std::string& folder, const std::string& name,
           const std::vector<Tensor>& inputs) {
  StateDict tensors;
  const auto call = [&](auto&... x) {
    onnx::export_model(model, std::tuple(x...), folder + "/" + name + ".onnx");
    const NoGradGuard no_grad;
    tensors["output"] = model(x...).clone();
  };
  if constexpr (std::is_invocable_v<Model&, const Tensor&>)
    call(inputs[0]);
  else
    call(inputs[0], inputs[1]);
  for (std::size_t i = 0; i < inputs.size(); ++i)
    tensors[inputs.size() == 1 ? "input" : "input." + std::to_string(i)] = inputs[i];
  save(tensors, folder + "/" + name + ".safetensors");
}

}  // namespace

int main(int, char** arguments) {
  const std::string folder = arguments[1];
  manual_seed(1);
  Everything everything;
  write(everything, folder, "everything", {randn({5, 6}), randn({5, 8})});
  Image image;
  image(randn({8, 2, 17, 15}) * 3 + 1);
  write(image, folder, "image", {randn({3, 2, 17, 15})});
  Recurrent recurrent;
  write(recurrent, folder, "recurrent", {randn({4, 7, 3})});
  auto resnet = torchvision::resnet18();
  resnet(randn({4, 3, 64, 64}));
  write(resnet, folder, "resnet18", {randn({2, 3, 64, 64})});
  huggingface::Gpt2 gpt({.vocabulary = 60, .places = 32, .width = 48, .layers = 2, .heads = 4});
  write(gpt, folder, "gpt2", {randint(0, 60, {3, 20})});
}
