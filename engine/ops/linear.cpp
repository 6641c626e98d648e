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

void linear_backward(Backward& b, const Tensor& x, const Tensor& weight, bool has_bias) {
  const Tensor g = as_matrix(b.grad());
  if (b.create_graph()) {
    if (b.needs(0)) b.set(0, matmul(g, weight).reshape(x.shape()));
    if (b.needs(1)) b.set(1, matmul(g.t(), as_matrix(x)));
    if (has_bias && b.needs(2)) b.set(2, sum(g, {0}));
    return;
  }
  if (b.needs(0))
    b.write(0, x.shape(), g.dtype(), g.device(), [&](const Tensor& destination, int beta) {
      multiply_into(as_matrix(destination), g, weight, beta);
    });
  if (b.needs(1))
    b.write(1, weight.shape(), g.dtype(), g.device(), [&](const Tensor& destination, int beta) {
      multiply_into(destination, g.t(), as_matrix(x), beta);
    });
  if (has_bias && b.needs(2))
    b.write(2, {weight.size(0)}, g.dtype(), g.device(),
            [&](const Tensor& destination, int beta) { write_column_sums(destination, g, beta == 1); });
}

}  // namespace

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation) {
  check_linear(x, weight, bias);
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
  // Record two nodes, as two ops would. ReLU's backward reads only its output: its input is a placeholder.
  const Tensor product = activation == Activation::none ? y : keep ? pre_activation : y.detach();
  const auto backward = [x = save(x), weight = save(weight), has_bias = bias.defined()](Backward& b) {
    linear_backward(b, x.get(b), weight.get(b), has_bias);
  };
  if (bias.defined())
    record("linear", product, {x, weight, bias}, backward);
  else
    record("linear", product, {x, weight}, backward);
  if (activation != Activation::none) record_activation(activation, y, product);
  return y;
}

}  // namespace miniparallel
