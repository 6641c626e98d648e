#include "engine/ops/norm.h"

#include <algorithm>

namespace miniparallel {
namespace {

using kernels::Destination;

/// Differentiable: x normalised over `dims`, and the gradient of x for the gradient of that.
struct Normalized {
  Tensor inv_std, y;
  Shape dims;

  Normalized(const Tensor& x, const Shape& over, double eps) : dims(over) {
    const Tensor centered = x - mean(x, dims, true);
    inv_std = inverse_std(mean(centered * centered, dims, true), eps);
    y = centered * inv_std;
  }
  Tensor backward(const Tensor& g) const {
    return inv_std * (g - mean(g, dims, true) - y * mean(g * y, dims, true));
  }
};

struct LayerNorm {
  std::int64_t rows, width;
  int normalized_dims;
  double eps;
  Tensor mean, inv_std;

  kernels::LayerNormArgs args(const Tensor& x, const Tensor& weight, const Tensor& bias = {}) const {
    return {rows, width, raw(x), raw_or_null(weight), raw_or_null(bias), eps, raw(mean), raw(inv_std)};
  }
};

void layer_norm_composed(Backward& b, const Tensor& x, const Tensor& weight, const LayerNorm& norm) {
  const Tensor& g = b.grad();
  Shape inner, outer;
  for (int i = 0; i < g.dim(); ++i) (i < g.dim() - norm.normalized_dims ? outer : inner).push_back(i);
  const Normalized normalized(x, inner, norm.eps);
  const auto sum_rows = [&](const Tensor& t) { return outer.empty() ? t : sum(t, outer); };
  if (b.needs(0)) b.set(0, normalized.backward(weight.defined() ? g * weight : g));
  if (b.needs(1)) b.set(1, sum_rows(g * normalized.y));
  if (b.needs(2)) b.set(2, sum_rows(g));
}

void layer_norm_fused(Backward& b, const Tensor& x, const Tensor& weight, const LayerNorm& norm,
                      const Shape& parameter_shape) {
  const Tensor g = b.take_grad().contiguous();
  const kernels::LayerNormArgs args = norm.args(x, weight);
  const auto parameters = [&](const Destination& dweight, const Destination& dbias) {
    backend(g).norm.layer_parameter_gradient(g.dtype(), args, raw(g), dweight, dbias, stream(g));
  };
  const auto with_bias = [&](const Destination& dweight) {
    if (!b.needs(2)) return parameters(dweight, {});
    b.write(2, parameter_shape, g.dtype(), g.device(),
            [&](const Tensor& dbias, int beta) { parameters(dweight, {raw(dbias), beta}); });
  };
  if (b.needs(1))
    b.write(1, parameter_shape, g.dtype(), g.device(),
            [&](const Tensor& dweight, int beta) { with_bias({raw(dweight), beta}); });
  else if (b.needs(2))
    with_bias({});
  b.write_over(0, g, [&](const Tensor& dx, int beta) {
    backend(g).norm.layer_data_gradient(g.dtype(), args, raw(g), {raw(dx), beta}, stream(g));
  });
}

}  // namespace

Tensor layer_norm(const Tensor& input, const Shape& normalized_shape, const Tensor& scale,
                  const Tensor& offset, double eps) {
  const char* op = "layer_norm";
  check_defined(op, input);
  check_same_device(op, {input, scale, offset});
  check_floating(op, input);
  check_same_dtype(op, {input, scale, offset});
  check(eps > 0, op, ": eps is ", eps, "; it must be above 0");
  const int inner = normalized_shape.rank(), outer = input.dim() - inner;
  check(inner > 0 && outer >= 0 &&
            Shape(input.shape().begin() + std::max(outer, 0), input.shape().end()) == normalized_shape,
        op, ": input of shape ", input.shape(), " does not end in the normalised shape ", normalized_shape,
        "; make the layer for the shape of its input");
  check_parameter(op, "weight", scale, normalized_shape);
  check_parameter(op, "bias", offset, normalized_shape);

  const Tensor x = input.contiguous(), weight = contiguous_or_none(scale), bias = contiguous_or_none(offset);
  const Shape rows(x.shape().begin(), x.shape().begin() + outer);
  LayerNorm norm{
      rows.numel(), normalized_shape.numel(), inner, eps, make_tensor(rows, x.dtype(), x.device()), {}};
  norm.inv_std = result_like(norm.mean);
  Tensor y = result_like(x);
  backend(x).norm.layer_forward(x.dtype(), norm.args(x, weight, bias), raw(y), stream(x));
  if (recording(x, weight, bias))
    record("layer_norm", y, {x, weight, bias},
           [x = save(x), weight = save(weight), norm, shape = normalized_shape](Backward& b) {
             if (b.create_graph())
               layer_norm_composed(b, x.get(b), weight.get(b), norm);
             else
               layer_norm_fused(b, x.get(b), weight.get(b), norm, shape);
           });
  return y;
}

}  // namespace miniparallel
