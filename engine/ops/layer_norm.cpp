#include "engine/autograd/trace.h"
#include "engine/ops/autocast.h"
#include "engine/ops/dropout.h"
#include "engine/ops/native_half.h"
#include "engine/ops/norm.h"
#include "engine/random/generator.h"

#include <algorithm>
#include <limits>
#include <optional>

namespace miniparallel {
namespace {

using kernels::Destination;

struct LayerNorm {
  std::int64_t rows, width;
  int normalized_dims;
  Shape parameter_shape;
  double eps;
  bool centers;
  Tensor mean, inv_std;

  LayerNorm(const Tensor& x, const Shape& shape, double epsilon, bool by_mean = true)
      : normalized_dims(shape.rank()), parameter_shape(shape), eps(epsilon), centers(by_mean) {
    const Shape outer(x.shape().begin(), x.shape().end() - shape.rank());
    rows = outer.numel();
    width = shape.numel();
    mean = make_tensor(outer, computed_dtype(x), x.device());
    inv_std = result_like(mean);
  }
  kernels::LayerNormArgs args(const Tensor& x, const Tensor& weight, const Tensor& bias = {}) const {
    return {.rows = rows,
            .width = width,
            .x = raw(x),
            .weight = raw_or_null(weight),
            .bias = raw_or_null(bias),
            .eps = eps,
            .mean = raw(mean),
            .inv_std = raw(inv_std),
            .centers = centers};
  }
};

void check_arguments(const char* op, const Tensor& input, const Shape& normalized_shape, const Tensor& scale,
                     const Tensor& offset, double eps) {
  check_defined(op, input);
  check_same_device(op, {input, scale, offset});
  check_floating(op, input);
  check_parameter_dtype(op, input, {scale, offset});
  check(eps > 0, op, ": eps is ", eps, "; it must be above 0");
  const int inner = normalized_shape.rank(), outer = input.dim() - inner;
  check(inner > 0 && outer >= 0 &&
            Shape(input.shape().begin() + std::max(outer, 0), input.shape().end()) == normalized_shape,
        op, ": input of shape ", input.shape(), " does not end in the normalised shape ", normalized_shape,
        "; make the layer for the shape of its input");
  check_parameter(op, "weight", scale, normalized_shape);
  check_parameter(op, "bias", offset, normalized_shape);
}

/// Hands over the gradients of weight and bias, inputs 1 and 2; returns that of what was normalised.
Tensor layer_norm_composed(Backward& b, const Tensor& x, const Tensor& weight, const LayerNorm& norm) {
  const Tensor g = widened(b.grad());
  Shape inner, outer;
  for (int i = 0; i < g.dim(); ++i) (i < g.dim() - norm.normalized_dims ? outer : inner).push_back(i);
  const Normalized normalized(widened(x), inner, norm.eps, norm.centers);
  const auto sum_rows = [&](const Tensor& t) { return outer.empty() ? t : sum(t, outer); };
  if (b.needs(1)) b.set(1, sum_rows(g * normalized.y));
  if (b.needs(2)) b.set(2, sum_rows(g));
  return normalized.backward(weight.defined() ? g * weight : g).to(x.dtype());
}

/// Writes the gradients of weight and bias, inputs 1 and 2.
void parameter_gradients(Backward& b, const Tensor& g, const kernels::LayerNormArgs& args,
                         const LayerNorm& norm) {
  const auto parameters = [&](const Destination& dweight, const Destination& dbias) {
    backend(g).norm.layer_parameter_gradient(g.dtype(), args, raw(g), dweight, dbias, stream(g));
  };
  const auto with_bias = [&](const Destination& dweight) {
    if (!b.needs(2)) return parameters(dweight, {});
    b.write(2, norm.parameter_shape, norm.mean.dtype(), g.device(),
            [&](const Tensor& dbias, int beta) { parameters(dweight, {raw(dbias), beta}); });
  };
  if (b.needs(1))
    b.write(1, norm.parameter_shape, norm.mean.dtype(), g.device(),
            [&](const Tensor& dweight, int beta) { with_bias({raw(dweight), beta}); });
  else if (b.needs(2))
    with_bias({});
}

void layer_norm_fused(Backward& b, const Tensor& x, const Tensor& weight, const LayerNorm& norm) {
  const Tensor g = b.take_grad().contiguous();
  const kernels::LayerNormArgs args = norm.args(x, weight);
  parameter_gradients(b, g, args, norm);
  b.write_over(0, g, [&](const Tensor& dx, int beta) {
    backend(g).norm.layer_data_gradient(g.dtype(), args, raw(g), {raw(dx), beta}, nullptr, stream(g));
  });
}

}  // namespace

Tensor layer_norm(const Tensor& input, const Shape& normalized_shape, const Tensor& scale,
                  const Tensor& offset, double eps) {
  MP_AUTOCAST(layer_norm, input, normalized_shape, scale, offset, eps);
  check_arguments("layer_norm", input, normalized_shape, scale, offset, eps);
  if (is_half_on_cpu(input))
    return in_float32(MP_OP(layer_norm), input, normalized_shape, scale, offset, eps);
  const Tensor x = input.contiguous(), weight = contiguous_or_none(widened(scale)),
               bias = contiguous_or_none(widened(offset));
  const LayerNorm norm(x, normalized_shape, eps);
  Tensor y = result_like(x);
  backend(x).norm.layer_forward(x.dtype(), norm.args(x, weight, bias), raw(y), stream(x));
  if (recording(x, weight, bias)) {
    autograd::note("eps", eps);
    autograd::note("dims", normalized_shape.rank());
    record("layer_norm", y, {x, weight, bias}, [x = save(x), weight = save(weight), norm](Backward& b) {
      if (!b.create_graph()) return layer_norm_fused(b, x.get(b), weight.get(b), norm);
      b.set(0, layer_norm_composed(b, x.get(b), weight.get(b), norm));
    });
  }
  return y;
}

Tensor rms_norm(const Tensor& input, const Shape& normalized_shape, const Tensor& scale,
                std::optional<double> epsilon) {
  const char* const op = "rms_norm";
  const double least = input.defined() && input.dtype() == float64
                           ? std::numeric_limits<double>::epsilon()
                           : double{std::numeric_limits<float>::epsilon()};
  const double eps = epsilon.value_or(least);
  check_arguments(op, input, normalized_shape, scale, {}, eps);
  if (is_half_on_cpu(input)) return in_float32(MP_OP(rms_norm), input, normalized_shape, scale, epsilon);
  const Tensor x = input.contiguous(), weight = contiguous_or_none(widened(scale));
  const LayerNorm norm(x, normalized_shape, eps, false);
  Tensor y = result_like(x);
  backend(x).norm.layer_forward(x.dtype(), norm.args(x, weight), raw(y), stream(x));
  if (recording(x, weight)) {
    autograd::note("eps", eps);
    autograd::note("dims", normalized_shape.rank());
    record(op, y, {x, weight, Tensor()}, [x = save(x), weight = save(weight), norm](Backward& b) {
      if (!b.create_graph()) return layer_norm_fused(b, x.get(b), weight.get(b), norm);
      b.set(0, layer_norm_composed(b, x.get(b), weight.get(b), norm));
    });
  }
  return y;
}

// --- add_layer_norm: inputs x, weight, bias, residual; outputs y, sum

namespace {

using kernels::DropoutMask;

/// The gradients of x and the residual from that of the sum.
void hand_over(Backward& b, const Tensor& total, const Tensor& dropped, const DropoutMask& mask) {
  b.set(3, total);
  if (b.needs(0)) b.set(0, mask.p == 0 ? total : dropped.defined() ? dropped : masked_scale(total, mask));
}

void add_norm_fused(Backward& b, const Tensor& sum, const Tensor& weight, const LayerNorm& norm,
                    const DropoutMask& mask) {
  Tensor g = b.take_grad(0), total = b.take_grad(1), dropped;
  if (!g.defined()) return hand_over(b, total, dropped, mask);
  g = g.contiguous();
  kernels::LayerNormArgs args = norm.args(sum, weight);
  args.mask = mask;
  parameter_gradients(b, g, args, norm);
  const int beta = total.defined() ? 1 : 0;
  if (beta == 1)
    total = is_exclusive(total) ? total : total.clone();
  else
    total = is_exclusive(g) ? g : result_like(g);
  if (mask.p > 0 && b.needs(0)) dropped = result_like(total);
  backend(g).norm.layer_data_gradient(g.dtype(), args, raw(g), {raw(total), beta}, raw_or_null(dropped),
                                      stream(g));
  hand_over(b, total, dropped, mask);
}

void add_norm_composed(Backward& b, const Tensor& sum, const Tensor& weight, const LayerNorm& norm,
                       const DropoutMask& mask) {
  Tensor total = b.grad(1);
  if (b.grad(0).defined()) {
    const Tensor through_norm = layer_norm_composed(b, sum, weight, norm);
    total = total.defined() ? total + through_norm : through_norm;
  }
  hand_over(b, total, {}, mask);
}

}  // namespace

AddNorm add_layer_norm(const Tensor& input, const Tensor& added_to, const Shape& normalized_shape,
                       const Tensor& scale, const Tensor& offset, const AddNormOptions& options) {
  MP_AUTOCAST(add_layer_norm, input, added_to, normalized_shape, scale, offset, options);
  const char* op = "add_layer_norm";
  check_arguments(op, input, normalized_shape, scale, offset, options.eps);
  check_defined(op, added_to);
  check_same_device(op, {input, added_to});
  check_same_dtype(op, {input, added_to});
  check(added_to.shape() == input.shape(), op, ": x has shape ", input.shape(), ", the residual ",
        added_to.shape(), "; both must be the same");
  check_probability(op, options.dropout);
  if (is_half_on_cpu(input))
    return in_float32(MP_OP(add_layer_norm), input, added_to, normalized_shape, scale, offset, options);
  const Tensor x = options.dropout == 1 ? dropout(input, 1) : input.contiguous();
  const Tensor residual = added_to.contiguous(), weight = contiguous_or_none(widened(scale)),
               bias = contiguous_or_none(widened(offset));
  DropoutMask mask;
  if (options.dropout > 0 && options.dropout < 1)
    mask = {options.dropout, next_random_key(x.numel(), x.device())};
  const LayerNorm norm(x, normalized_shape, options.eps);
  AddNorm made{result_like(x), result_like(x)};
  kernels::LayerNormArgs args = norm.args(x, weight, bias);
  args.residual = raw(residual);
  args.sum = raw(made.sum);
  args.mask = mask;
  backend(x).norm.layer_forward(x.dtype(), args, raw(made.y), stream(x));
  if (recording(x, residual, weight, bias))
    record(op, {made.y, made.sum}, {x, weight, bias, residual},
           [sum = save_output(made.sum, 1), weight = save(weight), norm, mask](Backward& b) {
             const auto backward = b.create_graph() ? add_norm_composed : add_norm_fused;
             backward(b, sum.get(b), weight.get(b), norm, mask);
           });
  return made;
}

}  // namespace miniparallel
