#include <miniparallel/autocast.h>
#include <miniparallel/optim.h>
#include <miniparallel/random.h>

#include "compare.h"
#include "simulated.h"
#include "tests/support/scaled_training.h"

// Ops of float16 and bfloat16 launch what they launch in float32: nothing is converted on the way.

namespace miniparallel::testing {
namespace {

const Device gpu = Device::cuda(0);

struct Op {
  const char* name;
  Function function;
  std::vector<Shape> inputs;           // of the dtype
  std::vector<Shape> parameters = {};  // float32
};

/// The outputs of a layer, or of a cell, with weights of the dtype of x, which are converted on the CPU.
template <class Layer>
auto of_layer(const Layer& layer) {
  return [=](const Tensors& x) {
    Layer mine = clone(layer);
    to(mine, x[0].dtype());
    to(mine, gpu);
    return mine(x[0]).first;
  };
}

const std::vector<Op>& ops() {
  static const Tensor labels = tensor({1, 0, 5, 2});
  static const std::vector<Op> list{
      {"batch_norm",
       [](const Tensors& x) { return batch_norm(x[0], x[1], x[2], {}, {}, {.training = true}); },
       {{4, 6, 3, 3}},
       {{6}, {6}}},
      {"batch_norm with a residual and relu",
       [](const Tensors& x) {
         return batch_norm(x[0], x[2], x[3], {}, {},
                           {.training = true, .activation = Activation::relu, .residual = x[1]});
       },
       {{4, 6, 3, 3}, {4, 6, 3, 3}},
       {{6}, {6}}},
      {"layer_norm",
       [](const Tensors& x) { return layer_norm(x[0], {6}, x[1], x[2]); },
       {{4, 6}},
       {{6}, {6}}},
      {"add_layer_norm",
       [](const Tensors& x) { return add_layer_norm(x[0], x[1], {8}, x[2], x[3], {.dropout = 0.1}).y; },
       {{4, 8}, {4, 8}},
       {{8}, {8}}},
      {"rms_norm", [](const Tensors& x) { return rms_norm(x[0], {6}, x[1]); }, {{4, 6}}, {{6}}},
      {"group_norm",
       [](const Tensors& x) { return group_norm(x[0], 3, x[1], x[2]); },
       {{4, 6, 3, 3}},
       {{6}, {6}}},
      {"instance_norm", [](const Tensors& x) { return instance_norm(x[0]); }, {{4, 6, 3, 3}}},
      {"var", [](const Tensors& x) { return var(x[0].detach(), {1}); }, {{4, 6}}},
      {"max_pool2d", [](const Tensors& x) { return max_pool2d(x[0], 2); }, {{2, 3, 6, 8}}},
      {"avg_pool2d", [](const Tensors& x) { return avg_pool2d(x[0], 3); }, {{2, 3, 6, 9}}},
      {"adaptive_avg_pool2d", [](const Tensors& x) { return adaptive_avg_pool2d(x[0], 1); }, {{2, 3, 6, 9}}},
      {"adaptive_max_pool2d",
       [](const Tensors& x) { return adaptive_max_pool2d(x[0], {2, 3}); },
       {{2, 3, 5, 7}}},
      {"sum", [](const Tensors& x) { return sum(x[0], {1}); }, {{4, 6}}},
      {"mean", [](const Tensors& x) { return mean(x[0], {0}); }, {{4, 6}}},
      {"argmax", [](const Tensors& x) { return argmax(x[0], 1); }, {{4, 6}}},
      {"softmax", [](const Tensors& x) { return softmax(x[0], 1); }, {{4, 6}}},
      {"log_softmax", [](const Tensors& x) { return log_softmax(x[0], 0); }, {{4, 6}}},
      {"cross_entropy", [](const Tensors& x) { return cross_entropy(x[0], labels.to(gpu)); }, {{4, 6}}},
      {"nll_loss", [](const Tensors& x) { return nll_loss(x[0], labels.to(gpu)); }, {{4, 6}}},
      {"mse_loss", [](const Tensors& x) { return mse_loss(x[0], x[0].detach()); }, {{4, 6}}},
      {"l1_loss", [](const Tensors& x) { return l1_loss(x[0], x[0].detach()); }, {{4, 6}}},
      {"smooth_l1_loss", [](const Tensors& x) { return smooth_l1_loss(x[0], x[0].detach()); }, {{4, 6}}},
      {"huber_loss", [](const Tensors& x) { return huber_loss(x[0], x[0].detach()); }, {{4, 6}}},
      {"kl_div",
       [](const Tensors& x) { return kl_div(x[0], x[0].detach(), {.batch_mean = true}); },
       {{4, 6}}},
      {"soft_margin_loss", [](const Tensors& x) { return soft_margin_loss(x[0], x[0].detach()); }, {{4, 6}}},
      {"dropout", [](const Tensors& x) { return dropout(x[0], 0.5, true); }, {{4, 6}}},
      {"scaled_dot_product_attention",
       [](const Tensors& x) { return scaled_dot_product_attention(x[0], x[1], x[2], {}, {.causal = true}); },
       {{2, 5, 16}, {2, 7, 16}, {2, 7, 8}}},
      {"binary_cross_entropy_with_logits",
       [](const Tensors& x) { return binary_cross_entropy_with_logits(x[0], x[0].detach()); },
       {{4, 6}}},
      {"cumsum of rows", [](const Tensors& x) { return cumsum(x[0], 1); }, {{4, 6}}},
      {"cumsum of columns", [](const Tensors& x) { return cumsum(x[0], 0); }, {{4, 6}}},
      {"cumprod", [](const Tensors& x) { return cumprod(x[0].detach(), 1); }, {{4, 6}}},
      {"sort", [](const Tensors& x) { return sort(x[0], 1).values; }, {{4, 6}}},
      {"topk", [](const Tensors& x) { return topk(x[0], 2, 0).values; }, {{4, 6}}},
      {"median", [](const Tensors& x) { return median(x[0], 1).values; }, {{4, 6}}},
      {"max", [](const Tensors& x) { return max(x[0], 1).values; }, {{4, 6}}},
      {"embedding", [](const Tensors& x) { return embedding(x[0], labels.to(gpu)); }, {{6, 3}}},
      {"index_select", [](const Tensors& x) { return index_select(x[0], 1, labels.to(gpu)); }, {{4, 6}}},
      {"interpolate",
       [](const Tensors& x) { return interpolate(x[0], {.scale_factor = 2}); },
       {{2, 3, 4, 6}}},
      {"addmm", [](const Tensors& x) { return addmm(x[0], x[1], x[2]); }, {{5}, {3, 4}, {4, 5}}},
      {"tensordot", [](const Tensors& x) { return tensordot(x[0], x[1], 1); }, {{2, 3, 4}, {4, 5}}},
      {"norm 1", [](const Tensors& x) { return norm(x[0], 1); }, {{4, 6}}},
      {"LSTM", of_layer(nn::LSTM{3, 5}), {{4, 2, 3}}},
      {"GRU", of_layer(nn::GRU{3, 5}), {{4, 2, 3}}},
      {"RNN", of_layer(nn::RNN{3, 5}), {{4, 2, 3}}},
      {"scaled_dot_product_attention of odd widths, with a mask, of grouped queries",
       [](const Tensors& x) {
         return scaled_dot_product_attention(x[0], x[1], x[2], x[3].detach(), {.enable_gqa = true});
       },
       {{4, 5, 3}, {2, 7, 3}, {2, 7, 9}, {5, 7}}},
  };
  return list;
}

std::int64_t launches(const Op& op, DType dtype) {
  Tensors x;
  for (const Shape& shape : op.inputs)
    x.push_back(random_leaf(shape, dtype).detach().to(gpu).requires_grad_());
  for (const Shape& shape : op.parameters)
    x.push_back(random_leaf(shape, float32).detach().to(gpu).requires_grad_());
  const simulator::Counters before = simulator::counters();
  const Tensor y = op.function(x);
  if (y.requires_grad() && y.dim() == 0) y.backward();
  if (y.requires_grad() && y.dim() > 0) y.backward(y.detach());
  return (simulator::counters() - before).kernels;
}

TEST_CASE("ops of 16 bits launch as many kernels as in float32") {
  const Simulated machine;
  for (const Op& op : ops())
    for (const DType dtype : {float16, bfloat16}) {
      INFO(op.name, " in ", dtype);
      CHECK(launches(op, dtype) == launches(op, float32));
    }
}

TEST_CASE("clipping gradients of 16 bits launches what it launches in float32") {
  const Simulated machine;
  const auto launched = [](DType dtype) {
    const Tensor weight = ones({4, 6}, {.dtype = dtype, .device = gpu}).requires_grad_();
    weight.set_grad(ones_like(weight));
    const simulator::Counters before = simulator::counters();
    nn::utils::clip_grad_value_({weight}, 0.5);
    const Tensor norm = nn::utils::clip_grad_norm_({weight}, 0.5);
    return (simulator::counters() - before).kernels;
  };
  for (const DType dtype : {float16, bfloat16}) CHECK(launched(dtype) == launched(float32));
}

TEST_CASE("in an Autocast guard no step of a recurrent layer converts anything") {
  const Simulated machine;
  const auto added_launches = [](const auto& layer, std::int64_t length) {
    auto mine = clone(layer);
    to(mine, gpu);
    const Op op{"", [&](const Tensors& x) { return mine(x[0]).first; }, {}, {{length, 2, 3}}};
    const std::int64_t plain = launches(op, float32);
    const Autocast guard;
    return launches(op, float32) - plain;
  };
  const auto check_layer = [&](const auto& layer) {
    CHECK(added_launches(layer, 7) == added_launches(layer, 3));
  };
  check_layer(nn::LSTM{3, 5});
  check_layer(nn::GRU{3, 5});
  check_layer(nn::RNN{3, 5});
}

TEST_CASE("a step of 16-bit parameters is one launch") {
  const Simulated machine;
  for (const DType dtype : {float16, bfloat16})
    for (const OptimizerCase& of : optimizer_cases()) {
      INFO(of.name, " in ", dtype);
      Tensors parameters;
      for (const Shape& shape : std::vector<Shape>{{4, 6}, {6}})
        parameters.push_back(ones(shape, {.dtype = dtype, .device = gpu}).requires_grad_());
      const auto optimizer = of.make(parameters);
      std::int64_t launches = 0;
      for (int step = 0; step < 2; ++step) {  // the first one makes the state
        for (const Tensor& p : parameters) p.set_grad(ones_like(p));
        const simulator::Counters before = simulator::counters();
        optimizer->step();
        launches = (simulator::counters() - before).kernels;
      }
      CHECK(launches == 1);
    }
}

}  // namespace
}  // namespace miniparallel::testing
