#include "engine/autograd/trace.h"
#include "engine/ops/autocast.h"
#include "engine/ops/elementwise.h"
#include "engine/ops/matrix.h"

namespace miniparallel {
namespace {

void check_linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check_defined("linear", x);
  check_defined("linear", weight);
  check_same_device("linear", {x, weight, bias});
  check_floating("linear", x);
  check_same_dtype("linear", {x, weight, bias});
  check(weight.dim() == 2, "linear: weight has shape ", weight.shape(), "; it must be (out, in)");
  check(x.dim() > 0 && x.size(-1) == weight.size(1), "linear: input of shape ", x.shape(),
        " does not fit weight of shape ", weight.shape(), "; the input's last size must be ", weight.size(1));
  check(!bias.defined() || bias.shape() == Shape{weight.size(0)}, "linear: bias has shape ",
        bias.defined() ? bias.shape() : Shape{}, "; it must be [", weight.size(0), "] for weight of shape ",
        weight.shape());
}

/// All dimensions but the last as one.
Tensor as_matrix(const Tensor& x) {
  if (x.dim() == 2) return x;
  const Shape rows(x.shape().begin(), x.shape().end() - 1);
  return x.reshape({rows.numel(), x.size(-1)});
}

void write_column_sums(const Tensor& destination, const Tensor& x, bool accumulate) {
  kernels::ReduceArgs args;
  args.kept = kernels::make_layout({x.size(1)}, {{x.strides()[1]}});
  args.reduced = kernels::make_layout({x.size(0)}, {{x.strides()[0]}});
  args.in = raw(x);
  args.out = raw(destination);
  args.accumulate = accumulate;
  backend(x).reduce.sum(x.dtype(), args, stream(x));
}

struct LinearNode {
  autograd::Saved x, weight, bias;
  Activation activation;
  autograd::Saved output;  // of relu, which reads it
  Tensor pre_activation;   // of gelu, likewise
  bool has_bias;
};

/// The gradient of x weight^T. Writes that of the bias.
Tensor product_gradient(Backward& b, const LinearNode& node, const Tensor& saved) {
  Tensor g = as_matrix(b.take_grad());
  const bool to_bias = node.has_bias && b.needs(2);
  const auto write_bias = [&](const auto& f) { b.write(2, {g.size(1)}, g.dtype(), g.device(), f); };
  if (node.activation == Activation::none) {
    if (to_bias) write_bias([&](const Tensor& dbias, int beta) { write_column_sums(dbias, g, beta == 1); });
    return g;
  }
  g = g.contiguous();
  Tensor dx = is_exclusive(g) ? g : result_like(g);
  if (to_bias && !is_half(g)) {
    write_bias([&](const Tensor& dbias, int beta) {
      const kernels::EpilogueGradientArgs args{g.size(0),  g.size(1), node.activation,   raw(g),
                                               raw(saved), raw(dx),   {raw(dbias), beta}};
      backend(g).matmul.epilogue_gradient(g.dtype(), args, stream(g));
    });
  } else {
    backend(g).elementwise.unary_backward(kernels::function_of(node.activation), g.dtype(),
                                          elementwise_args({dx, g, as_matrix(saved)}), stream(g));
    if (to_bias) b.set(2, sum(dx, {0}));
  }
  return dx;
}

void linear_fused(Backward& b, const LinearNode& node, const Tensor& saved) {
  const Tensor x = node.x.get(b), weight = node.weight.get(b);
  const Tensor g = product_gradient(b, node, saved);
  if (b.needs(0))
    b.write(0, x.shape(), g.dtype(), g.device(), [&](const Tensor& destination, int beta) {
      multiply_into(as_matrix(destination), g, weight, beta);
    });
  if (b.needs(1))
    b.write(1, weight.shape(), g.dtype(), g.device(), [&](const Tensor& destination, int beta) {
      multiply_into(destination, g.t(), as_matrix(x), beta);
    });
}

void linear_composed(Backward& b, const LinearNode& node, const Tensor& kept) {
  const Tensor x = node.x.get(b), weight = node.weight.get(b);
  Tensor g = b.grad();
  const bool is_input = node.pre_activation.defined();
  const Tensor saved = is_input ? linear(x, weight, node.bias.get(b)) : kept;  // with its history
  if (node.activation != Activation::none) g = activation_gradient(node.activation, g, saved);
  g = as_matrix(g);
  if (b.needs(0)) b.set(0, matmul(g, weight).reshape(x.shape()));
  if (b.needs(1)) b.set(1, matmul(g.t(), as_matrix(x)));
  if (node.has_bias && b.needs(2)) b.set(2, sum(g, {0}));
}

}  // namespace

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation) {
  MP_AUTOCAST(linear, x, weight, bias, activation);
  check_linear(x, weight, bias);
  if (is_half(x) && !multiplies_halves(x)) return in_float32(MP_OP(linear), x, weight, bias, activation);
  Shape shape = x.shape();
  shape[x.dim() - 1] = weight.size(0);
  Tensor y = make_tensor(shape, x.dtype(), x.device());
  const bool records = recording(x, weight, bias);
  const bool keep = records && activation == Activation::gelu_tanh;  // its gradient reads what it was given
  const Tensor pre_activation = keep ? result_like(y) : Tensor();
  {
    const NoGradGuard no_grad;
    multiply_into(as_matrix(y), as_matrix(x), weight.t(), 0,
                  {bias, activation, keep ? as_matrix(pre_activation) : pre_activation});
  }
  if (!records) return y;
  const auto kept = [](bool is_read, const Tensor& tensor) { return save(is_read ? tensor : Tensor()); };
  const LinearNode node{.x = save(x),
                        .weight = save(weight),
                        .bias = kept(keep, bias),
                        .activation = activation,
                        .output = activation == Activation::relu ? save_output(y) : autograd::Saved(),
                        .pre_activation = pre_activation,
                        .has_bias = bias.defined()};
  const auto backward = [node](Backward& b) {
    const Tensor saved = node.pre_activation.defined() ? node.pre_activation : node.output.get(b);
    (b.create_graph() ? linear_composed : linear_fused)(b, node, saved);
  };
  autograd::note("activation", static_cast<int>(activation));
  if (bias.defined())
    record("linear", y, {x, weight, bias}, backward);
  else
    record("linear", y, {x, weight}, backward);
  return y;
}

}  // namespace miniparallel
