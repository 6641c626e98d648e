#include "engine/ops/autocast.h"
#include "engine/ops/loss.h"
#include "engine/ops/native_half.h"

// Losses that are kernels, forward and backward.

namespace miniparallel {

void check_pair(const char* op, const Tensor& x, const Tensor& target) {
  check_defined(op, x);
  check_defined(op, target);
  check_same_device(op, {x, target});
  check_floating(op, x);
  check_same_dtype(op, {x, target});
  check(x.shape() == target.shape(), op, ": input of shape ", x.shape(), " and target of shape ",
        target.shape(), " differ; reshape or expand one to the other");
}

namespace {

using kernels::LossFunction;
using kernels::PointwiseLossArgs;

PointwiseLossArgs args_of(PointwiseLossArgs of, const Tensor& x, const Tensor& target, Reduction reduction) {
  of.n = x.numel();
  of.x = raw(x);
  of.target = raw(target);
  of.reduce = reduction != Reduction::none;
  if (reduction == Reduction::mean) of.scale = 1.0 / static_cast<double>(x.numel());
  return of;
}

/// d loss / dx per unit of upstream gradient, of differentiable ops.
Tensor slope(const PointwiseLossArgs& of, const Tensor& x, const Tensor& target) {
  switch (of.function) {
    case LossFunction::squared_error:
      return (x - target) * 2;
    case LossFunction::absolute_error: {
      const Tensor d = x - target, one = full({}, 1, {.dtype = d.dtype(), .device = d.device()});
      return where(d > 0, one, where(d < 0, -one, d - d));  // 0, or NaN for NaN
    }
    case LossFunction::huber:
      return clamp(x - target, -of.bound, of.bound) * of.factor;
    case LossFunction::kl_divergence:
      return -target;
    case LossFunction::kl_divergence_of_logs:
      return -exp(target);
    case LossFunction::soft_margin:
      return -target * sigmoid(-(x * target));
    default:
      return sigmoid(x) - target;
  }
}

Tensor target_slope(const PointwiseLossArgs& of, const Tensor& x, const Tensor& target) {
  switch (of.function) {
    case LossFunction::binary_cross_entropy:
      return -x;
    case LossFunction::kl_divergence: {
      const Tensor none = target == 0;
      return log(where(none, 1, target)) - x + where(none, 0, ones_like(x));
    }
    case LossFunction::kl_divergence_of_logs:
      return exp(target) * (target - x + 1);
    case LossFunction::soft_margin:
      return -x * sigmoid(-(x * target));
    default:
      return -slope(of, x, target);
  }
}

}  // namespace

Tensor pointwise_loss(const char* op, const PointwiseLossArgs& of, const Tensor& input, const Tensor& wanted,
                      Reduction reduction) {
  check_pair(op, input, wanted);
  if (is_half_on_cpu(input)) return in_float32(pointwise_loss, op, of, input, wanted, reduction);
  const Tensor x = input.contiguous(), target = wanted.contiguous();
  const PointwiseLossArgs args = args_of(of, x, target, reduction);
  Tensor y = make_tensor(args.reduce ? Shape{} : x.shape(), x.dtype(), x.device());
  backend(x).pointwise_loss.forward(x.dtype(), args, raw(y), stream(x));
  if (recording(x, target))
    record(op, y, {x, target}, [of, reduction, x = save(x), target = save(target)](Backward& b) {
      const Tensor input_x = x.get(b), label = target.get(b);
      const PointwiseLossArgs again = args_of(of, input_x, label, reduction);
      const double share = again.n == 0 ? 0 : again.scale;
      const auto composed = [&](const auto& slope_of) {
        const Tensor g = widened(b.grad()), of_loss = slope_of(of, widened(input_x), widened(label));
        return (of_loss * (again.reduce ? g * share : g)).to(input_x.dtype());
      };
      if (b.needs(1)) b.set(1, composed(target_slope));
      if (!b.needs(0)) return;
      if (b.create_graph()) return b.set(0, composed(slope));
      const bool unit = b.is_unit() && again.reduce;
      const Tensor g = unit ? Tensor() : b.grad().contiguous(), dx = result_like(input_x);
      backend(dx).pointwise_loss.backward(dx.dtype(), again, unit ? nullptr : raw(g), raw(dx), stream(dx));
      b.set(0, dx);
    });
  return y;
}

Tensor mse_loss(const Tensor& x, const Tensor& target, Reduction reduction) {
  MP_AUTOCAST(mse_loss, x, target, reduction);
  return pointwise_loss("mse_loss", {.function = LossFunction::squared_error}, x, target, reduction);
}

Tensor l1_loss(const Tensor& x, const Tensor& target, Reduction reduction) {
  MP_AUTOCAST(l1_loss, x, target, reduction);
  return pointwise_loss("l1_loss", {.function = LossFunction::absolute_error}, x, target, reduction);
}

Tensor bce_with_logits(const Tensor& x, const Tensor& target, Reduction reduction) {
  MP_AUTOCAST(bce_with_logits, x, target, reduction);
  return pointwise_loss("bce_with_logits", {.function = LossFunction::binary_cross_entropy}, x, target,
                        reduction);
}

Tensor smooth_l1_loss(const Tensor& x, const Tensor& target, const SmoothL1LossOptions& options) {
  MP_AUTOCAST(smooth_l1_loss, x, target, options);
  const char* const op = "smooth_l1_loss";
  check(options.beta >= 0, op, ": beta is ", options.beta, "; it must be at least 0");
  if (options.beta == 0)
    return pointwise_loss(op, {.function = LossFunction::absolute_error}, x, target, options.reduction);
  return pointwise_loss(op,
                        {.function = LossFunction::huber, .bound = options.beta, .factor = 1 / options.beta},
                        x, target, options.reduction);
}

Tensor huber_loss(const Tensor& x, const Tensor& target, const HuberLossOptions& options) {
  MP_AUTOCAST(huber_loss, x, target, options);
  check(options.delta > 0, "huber_loss: delta is ", options.delta, "; it must be above 0");
  return pointwise_loss("huber_loss", {.function = LossFunction::huber, .bound = options.delta}, x, target,
                        options.reduction);
}

Tensor kl_div(const Tensor& x, const Tensor& target, const KlDivOptions& options) {
  MP_AUTOCAST(kl_div, x, target, options);
  check_pair("kl_div", x, target);
  PointwiseLossArgs of{.function = options.log_target ? LossFunction::kl_divergence_of_logs
                                                      : LossFunction::kl_divergence};
  Reduction reduction = options.reduction;
  if (reduction == Reduction::mean && options.batch_mean) {
    check(x.dim() > 0, "kl_div: got a tensor without dimensions; batch_mean needs rows");
    if (x.size(0) > 0) {  // of no rows NaN, as any mean
      of.scale = 1.0 / static_cast<double>(x.size(0));
      reduction = Reduction::sum;
    }
  }
  return pointwise_loss("kl_div", of, x, target, reduction);
}

Tensor soft_margin_loss(const Tensor& x, const Tensor& target, Reduction reduction) {
  MP_AUTOCAST(soft_margin_loss, x, target, reduction);
  return pointwise_loss("soft_margin_loss", {.function = LossFunction::soft_margin}, x, target, reduction);
}

}  // namespace miniparallel
