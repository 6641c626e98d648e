// Compiled by every compiler at hand, not linked: models as users write them, and every function on them.
//
// compile only
#include <miniparallel/miniparallel.h>

using namespace miniparallel;

struct Block {
  nn::LayerNorm norm1{64}, norm2{{4, 64}, {.eps = 1e-6, .bias = false}};
  nn::MultiheadAttention attention{64, 4, {.dropout = 0.1}};
  nn::Sequential mlp{nn::Linear{64, 256}, nn::GELU{.approximate = Gelu::tanh},
                     nn::Linear{256, 64, {.bias = false}}};
  Tensor operator()(const Tensor& x) {
    const Tensor y = x + attention(norm1(x), {.causal = true});
    return y + mlp(norm2(y));
  }
};

struct Net {
  nn::Embedding tokens{1000, 64, {.padding_idx = 0}};
  std::vector<Block> blocks{3};
  std::unique_ptr<nn::Linear> head = std::make_unique<nn::Linear>(64, 1000);
  nn::Parameter scale{ones({64})};
  nn::Buffer steps{zeros({}, {.dtype = int64})};
  Tensor positions = arange(64.0);
  nn::CrossEntropyLoss loss{{.label_smoothing = 0.1}};
  double rate = 0.1;

  Tensor operator()(const Tensor& indices) {
    Tensor x = tokens(indices) * scale + positions;
    for (Block& block : blocks) x = block(x);
    return (*head)(x);
  }
};

struct Images {
  nn::Conv2d conv1{1, 32, 3},
      conv2{32, 64, {3, 5}, {.stride = 2, .padding = {1, 2}, .groups = 2, .bias = false}};
  nn::BatchNorm2d norm{64, {.momentum = {}}};
  nn::BatchNorm1d features{128, {.affine = false}};
  nn::MaxPool2d pool{2, {.stride = 1, .padding = 1}};
  nn::AvgPool2d average{{2, 3}};
  nn::AdaptiveAvgPool2d adaptive{{1, 1}};
  nn::Dropout drop1{0.25}, drop2;
  nn::Flatten flatten;
  std::optional<nn::Linear> extra;
  Tensor operator()(const Tensor& x) { return flatten(adaptive(pool(norm(conv2(drop1(relu(conv1(x)))))))); }
};

template <class Model>
void use(Model& model) {
  const std::vector<Tensor> held = parameters(model);
  Model other = clone(model);
  for (auto& [name, parameter] :
       named_parameters(to(to(to(model, float64), Device::cpu()), Device::cpu(), float32))) {
    nn::init::normal_(parameter, 0, 0.02);
  }
  eval(model);
  train(model);
  zero_grad(model);
  requires_grad_(model, false);
  load_state_dict(other, state_dict(model), {.strict = false});
  (void)named_buffers(model);
  (void)num_parameters(model);
  (void)summary(model, {1, 8}, {.dtype = int64});
}
template void use(Net&);
template void use(Images&);
