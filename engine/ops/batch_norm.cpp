#include "engine/autograd/trace.h"
#include "engine/ops/batch_norm_gradient.h"
#include "engine/ops/batch_norm_parts.h"
#include "engine/ops/native_half.h"

namespace miniparallel {
namespace {

using kernels::Destination;

void check_batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                      const Tensor& running_var, bool training, bool is_part) {
  const char* op = "batch_norm";
  check_defined(op, x);
  check_same_device(op, {x, weight, bias, running_mean, running_var});
  check_floating(op, x);
  check_parameter_dtype(op, x, {weight, bias});
  for (const Tensor& statistics : {running_mean, running_var})  // half ones also of a float32 input: below
    if (!(is_half(statistics) && x.dtype() == float32)) check_parameter_dtype(op, x, {statistics});
  check(x.dim() >= 2, op, ": input has shape ", x.shape(), "; it must be (n, channels, ...)");
  const Shape channels{x.size(1)};
  check_parameter(op, "weight", weight, channels);
  check_parameter(op, "bias", bias, channels);
  check_parameter(op, "running_mean", running_mean, channels);
  check_parameter(op, "running_var", running_var, channels);
  check(running_mean.defined() == running_var.defined(), op,
        ": only one of running_mean and running_var is given; give both together or neither");
  check(training || running_mean.defined(), op,
        ": got no running statistics; without training it needs running_mean and running_var");
  if (training && x.numel() <= (is_part ? 0 : x.size(1)))
    fail(op, ": input of shape ", x.shape(),
         " has not more than one value per channel, so no variance to train with; use a larger batch or "
         "eval()",
         advice_on_one_value());
}

void fixed_composed(Backward& b, const Tensor& x, const Tensor& mean, const Tensor& weight,
                    const BatchNorm& norm) {
  const Tensor g = widened(b.grad());
  const Shape dims = batch_dims(g);
  const Tensor inv_std = per_channel(norm.inv_std, g);
  if (b.needs(0))
    b.set(0, ((weight.defined() ? g * per_channel(weight, g) : g) * inv_std).to(b.grad().dtype()));
  if (b.needs(1)) b.set(1, sum(g * (widened(x) - per_channel(mean, g)) * inv_std, dims));
  if (b.needs(2)) b.set(2, sum(g, dims));
}

struct Saved {
  autograd::Saved x, mean, weight, bias;  // the last one for relu
  autograd::Saved y;                      // of relu, without which it is undefined
  bool has_residual;
};

void batch_norm_fused(Backward& b, const Saved& saved, const BatchNorm& norm) {
  const Tensor x = saved.x.get(b), mean = saved.mean.get(b), weight = saved.weight.get(b);
  const Tensor bias = saved.bias.get(b), y = saved.y.get(b);
  Tensor g = laid_out(norm.channels_last, b.take_grad()), masked;
  if (saved.has_residual && y.defined()) masked = is_exclusive_as_it_lies(g) ? g : result_laid_as(g);
  kernels::BatchNormArgs args = norm.args(x, mean, weight, bias);
  args.relu = y.defined();
  Tensor sum_g, sum_gx;
  const auto gradients = [&](const Destination& dx) {
    return kernels::BatchNormGradients{.g = raw(g),
                                       .sum_g = raw_or_null(sum_g),
                                       .sum_gx = raw_or_null(sum_gx),
                                       .count = norm.count,
                                       .dx = dx,
                                       .y = saved.has_residual ? raw_or_null(y) : nullptr,
                                       .masked = raw_or_null(masked)};
  };
  if (x.defined()) {
    const Shape channels{norm.geometry.channels};
    sum_g = b.memory_for(2, channels, mean.dtype(), g.device());
    sum_gx = b.memory_for(1, channels, mean.dtype(), g.device());
    backend(g).norm.batch_sums(g.dtype(), args, gradients({}), stream(g));
  } else if (b.needs(2)) {
    sum_g = sum(widened(g), batch_dims(g));
  }
  if (masked.defined()) g = std::exchange(masked, {}), args.relu = false;
  if (saved.has_residual) b.set(3, g);  // from here on another handle
  b.write_over(0, g, [&](const Tensor& dx, int beta) {
    backend(g).norm.batch_data_gradient(g.dtype(), args, gradients({raw(dx), beta}), stream(g));
  });
  if (b.needs(1)) b.set(1, std::move(sum_gx));
  if (b.needs(2)) b.set(2, std::move(sum_g));
}

void batch_norm_backward(Backward& b, const Saved& saved, const BatchNorm& norm) {
  if (!b.create_graph()) return batch_norm_fused(b, saved, norm);
  const Tensor x = saved.x.get(b), weight = saved.weight.get(b), y = saved.y.get(b);
  if (norm.count == 0) return fixed_composed(b, x, saved.mean.get(b), weight, norm);
  const Tensor g = y.defined() ? activation_gradient(Activation::relu, b.grad(), y) : b.grad();
  batch_norm_composed(b, {{x, weight, g}}, norm.count, norm.eps);
  if (saved.has_residual) b.set(3, g);
}

void check_end(const Tensor& x, const BatchNormEnd& end) {
  check(end.activation == Activation::none || end.activation == Activation::relu,
        "batch_norm: the activation can be none or relu; call gelu on the result");
  if (!end.residual.defined()) return;
  check_same_device("batch_norm", {x, end.residual});
  check_same_dtype("batch_norm", {x, end.residual});
  check(end.residual.shape() == x.shape(), "batch_norm: the residual has shape ", end.residual.shape(),
        ", the input ", x.shape(), "; both must be the same");
}

/// What follows, as ops of their own.
Tensor with_end(Tensor y, const BatchNormEnd& end) {
  if (end.residual.defined()) y = y + end.residual;
  return end.activation == Activation::relu ? relu(y) : y;
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_var, const BatchNormOptions& options) {
  return batch_norm(x, weight, bias, RunningStatistics{running_mean, running_var, {}, options.momentum},
                    options.training, options.eps, {options.activation, options.residual});
}

Tensor batch_norm(const Tensor& input, const Tensor& scale, const Tensor& offset,
                  const RunningStatistics& running, bool training, double eps, const BatchNormEnd& end) {
  BatchNormMeeting* const meeting = training ? batch_norm_meeting() : nullptr;
  check_batch_norm(input, scale, offset, running.mean, running.var, training, meeting != nullptr);
  check_end(input, end);
  check(training ? eps > 0 : eps >= 0, "batch_norm: eps is ", eps, "; it must be ",
        training ? "above 0 in training" : "at least 0");
  check_momentum("batch_norm", running.momentum);
  const bool relu = end.activation == Activation::relu;
  const bool end_apart = (relu || end.residual.defined()) &&
                         (meeting != nullptr || (!training && recording(input, scale, offset, end.residual)));
  if (is_half_on_cpu(input) || (is_half(input) && end_apart)) {
    const BatchNormEnd wide{end.activation, widened(end.residual)};
    return in_float32(MP_OP(batch_norm), input, scale, offset, running, training, eps, wide);
  }
  const bool channels_last = input.impl()->channels_last;
  const Tensor x = channels_last ? input : input.contiguous(), weight = contiguous_or_none(widened(scale)),
               bias = contiguous_or_none(widened(offset));
  const Tensor residual = channels_last && end.residual.defined() ? in_channels_last(end.residual)
                                                                  : contiguous_or_none(end.residual);
  if (meeting != nullptr)
    return with_end(batch_norm_part(x, weight, bias, running, eps, *meeting), {end.activation, residual});
  if (end_apart)
    return with_end(batch_norm(x, weight, bias, running, training, eps), {end.activation, residual});
  BatchNorm norm{geometry_of(x), 0, eps, {}, channels_last};
  Tensor mean;
  {
    const NoGradGuard guard;
    if (training) {
      norm.count = x.numel() / x.size(1);
      const BatchStatistics batch = (running.mean.defined() ? place_statistics : make_statistics)(
          x.size(1), computed_dtype(x), x.device(), norm.count);
      mean = batch.mean;
      norm.inv_std = result_like(mean);
      backend(x).norm.batch_statistics(x.dtype(), norm.geometry, raw(x),
                                       {raw(mean), raw(batch.variance), raw(norm.inv_std), eps}, stream(x));
      if (running.mean.defined()) update_or_hand_over(running, batch);
    } else {
      mean = running.mean.detach().to(computed_dtype(x)).contiguous();
      norm.inv_std = inverse_std(running.var.detach().to(computed_dtype(x)), eps);
    }
  }
  Tensor y = result_laid_as(x);
  kernels::BatchNormArgs args = norm.args(x, mean, weight, bias);
  args.residual = raw_or_null(residual);
  args.relu = relu;
  backend(x).norm.batch_normalize(x.dtype(), args, raw(y), stream(x));
  if (!recording(x, weight, bias, residual)) return y;
  const bool reads_x = training || (weight.defined() && weight.requires_grad());
  const Saved saved{.x = save(reads_x ? x : Tensor{}),
                    .mean = save(mean),
                    .weight = save(weight),
                    .bias = save(relu ? bias : Tensor{}),
                    .y = relu ? save_output(y) : autograd::Saved(),
                    .has_residual = residual.defined()};
  std::vector<Tensor> inputs{x, weight, bias};
  if (residual.defined()) inputs.push_back(residual);
  autograd::note("mean", mean);
  autograd::note("inv_std", norm.inv_std);
  autograd::note("relu", relu);
  record("batch_norm", y, inputs, [saved, norm](Backward& b) { batch_norm_backward(b, saved, norm); });
  return y;
}

}  // namespace miniparallel
