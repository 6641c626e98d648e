#include "engine/ops/batch_norm_gradient.h"
#include "engine/ops/batch_norm_parts.h"

namespace miniparallel {
namespace {

using kernels::Destination;

void check_batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                      const Tensor& running_var, bool training, bool is_part) {
  const char* op = "batch_norm";
  check_defined(op, x);
  check_same_device(op, {x, weight, bias, running_mean, running_var});
  check_floating(op, x);
  check_same_dtype(op, {x, weight, bias, running_mean, running_var});
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
  const Tensor& g = b.grad();
  const Shape dims = batch_dims(g);
  const Tensor inv_std = per_channel(norm.inv_std, g);
  if (b.needs(0)) b.set(0, (weight.defined() ? g * per_channel(weight, g) : g) * inv_std);
  if (b.needs(1)) b.set(1, sum(g * (x - per_channel(mean, g)) * inv_std, dims));
  if (b.needs(2)) b.set(2, sum(g, dims));
}

void batch_norm_fused(Backward& b, const Tensor& x, const Tensor& mean, const Tensor& weight,
                      const BatchNorm& norm) {
  const Tensor g = b.take_grad().contiguous();
  const kernels::BatchNormArgs args = norm.args(x, mean, weight);
  Tensor sum_g, sum_gx;
  const auto gradients = [&](const Destination& dx) {
    return kernels::BatchNormGradients{raw(g), raw_or_null(sum_g), raw_or_null(sum_gx), norm.count, dx};
  };
  if (x.defined()) {
    const Shape channels{norm.geometry.channels};
    sum_g = b.memory_for(2, channels, g.dtype(), g.device());
    sum_gx = b.memory_for(1, channels, g.dtype(), g.device());
    backend(g).norm.batch_sums(g.dtype(), args, gradients({}), stream(g));
  } else if (b.needs(2)) {
    sum_g = sum(g, batch_dims(g));
  }
  b.write_over(0, g, [&](const Tensor& dx, int beta) {
    backend(g).norm.batch_data_gradient(g.dtype(), args, gradients({raw(dx), beta}), stream(g));
  });
  if (b.needs(1)) b.set(1, std::move(sum_gx));
  if (b.needs(2)) b.set(2, std::move(sum_g));
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_var, const BatchNormOptions& options) {
  return batch_norm(x, weight, bias, RunningStatistics{running_mean, running_var, {}, options.momentum},
                    options.training, options.eps);
}

Tensor batch_norm(const Tensor& input, const Tensor& scale, const Tensor& offset,
                  const RunningStatistics& running, bool training, double eps) {
  BatchNormMeeting* const meeting = training ? batch_norm_meeting() : nullptr;
  check_batch_norm(input, scale, offset, running.mean, running.var, training, meeting != nullptr);
  check(training ? eps > 0 : eps >= 0, "batch_norm: eps is ", eps, "; it must be ",
        training ? "above 0 in training" : "at least 0");
  check_momentum("batch_norm", running.momentum);
  const Tensor x = input.contiguous(), weight = contiguous_or_none(scale), bias = contiguous_or_none(offset);
  if (meeting != nullptr) return batch_norm_part(x, weight, bias, running, eps, *meeting);
  BatchNorm norm{geometry_of(x), 0, eps, {}};
  Tensor mean;
  {
    const NoGradGuard guard;
    if (training) {
      norm.count = x.numel() / x.size(1);
      const BatchStatistics batch = (running.mean.defined() ? place_statistics : make_statistics)(
          x.size(1), x.dtype(), x.device(), norm.count);
      mean = batch.mean;
      norm.inv_std = result_like(mean);
      backend(x).norm.batch_statistics(x.dtype(), norm.geometry, raw(x),
                                       {raw(mean), raw(batch.variance), raw(norm.inv_std), eps}, stream(x));
      if (running.mean.defined()) update_or_hand_over(running, batch);
    } else {
      mean = running.mean.detach().contiguous();
      norm.inv_std = inverse_std(running.var.detach(), eps);
    }
  }
  Tensor y = result_like(x);
  backend(x).norm.batch_normalize(x.dtype(), norm.args(x, mean, weight, bias), raw(y), stream(x));
  if (recording(x, weight, bias)) {
    const bool reads_x = training || (weight.defined() && weight.requires_grad());
    record("batch_norm", y, {x, weight, bias},
           [x = save(reads_x ? x : Tensor{}), mean = save(mean), weight = save(weight), norm](Backward& b) {
             if (!b.create_graph())
               batch_norm_fused(b, x.get(b), mean.get(b), weight.get(b), norm);
             else if (norm.count == 0)
               fixed_composed(b, x.get(b), mean.get(b), weight.get(b), norm);
             else
               batch_norm_composed(b, {{x.get(b), weight.get(b), b.grad()}}, norm.count, norm.eps);
           });
  }
  return y;
}

}  // namespace miniparallel
