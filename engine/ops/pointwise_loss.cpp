#include "kernels/pointwise_loss.h"

#include "engine/ops/autocast.h"
#include "engine/ops/loss.h"
#include "engine/ops/native_half.h"

// mse_loss, l1_loss, bce_with_logits.

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

kernels::PointwiseLossArgs make_args(LossFunction function, const Tensor& x, const Tensor& target,
                                     Reduction reduction) {
  const double scale = reduction == Reduction::mean ? 1.0 / static_cast<double>(x.numel()) : 1.0;
  return {function, x.numel(), raw(x), raw(target), reduction != Reduction::none, scale};
}

/// d loss / dx per unit of upstream gradient, of differentiable ops.
Tensor slope(LossFunction function, const Tensor& x, const Tensor& target) {
  switch (function) {
    case LossFunction::squared_error:
      return (x - target) * 2;
    case LossFunction::absolute_error: {
      const Tensor d = x - target, one = full({}, 1, {.dtype = d.dtype(), .device = d.device()});
      return where(d > 0, one, where(d < 0, -one, d - d));  // 0, or NaN for NaN
    }
    default:
      return sigmoid(x) - target;
  }
}

Tensor target_slope(LossFunction function, const Tensor& x, const Tensor& target) {
  return function == LossFunction::binary_cross_entropy ? -x : -slope(function, x, target);
}

Tensor loss(const char* op, LossFunction function, const Tensor& input, const Tensor& wanted,
            Reduction reduction) {
  check_pair(op, input, wanted);
  if (is_half_on_cpu(input)) return in_float32(loss, op, function, input, wanted, reduction);
  const Tensor x = input.contiguous(), target = wanted.contiguous();
  const kernels::PointwiseLossArgs args = make_args(function, x, target, reduction);
  Tensor y = make_tensor(args.reduce ? Shape{} : x.shape(), x.dtype(), x.device());
  backend(x).pointwise_loss.forward(x.dtype(), args, raw(y), stream(x));
  if (recording(x, target))
    record(op, y, {x, target}, [function, reduction, x = save(x), target = save(target)](Backward& b) {
      const Tensor input_x = x.get(b), label = target.get(b);
      const kernels::PointwiseLossArgs again = make_args(function, input_x, label, reduction);
      const double share = reduction == Reduction::mean ? share_of(again.n) : 1;
      const auto composed = [&](const auto& slope_of) {
        const Tensor g = widened(b.grad()), of_loss = slope_of(function, widened(input_x), widened(label));
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

}  // namespace

Tensor mse_loss(const Tensor& x, const Tensor& target, Reduction reduction) {
  MP_AUTOCAST(mse_loss, x, target, reduction);
  return loss("mse_loss", LossFunction::squared_error, x, target, reduction);
}

Tensor l1_loss(const Tensor& x, const Tensor& target, Reduction reduction) {
  MP_AUTOCAST(l1_loss, x, target, reduction);
  return loss("l1_loss", LossFunction::absolute_error, x, target, reduction);
}

Tensor bce_with_logits(const Tensor& x, const Tensor& target, Reduction reduction) {
  MP_AUTOCAST(bce_with_logits, x, target, reduction);
  return loss("bce_with_logits", LossFunction::binary_cross_entropy, x, target, reduction);
}

}  // namespace miniparallel
