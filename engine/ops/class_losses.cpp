#include "engine/ops/autocast.h"
#include "engine/ops/loss.h"
#include "engine/ops/native_half.h"

#include <limits>

// cross_entropy and nll_loss where their kernel does not do: weights of classes, probabilities as targets.

namespace miniparallel {

namespace {

Shape along_classes(const Tensor& x) {
  Shape shape = Shape::filled(x.dim(), 1);
  shape[1] = x.size(1);
  return shape;
}

Tensor class_weight(const char* op, const Tensor& weight, const Tensor& x) {
  check(weight.shape() == Shape{x.size(1)}, op, ": weight has shape ", weight.shape(), ", the input ",
        x.shape(), "; it must have one number for each class, [", x.size(1), "]");
  return factor_like(weight, x);
}

/// sum / total, with gradient 0 where there is nothing to divide by.
Tensor weighted_mean(const Tensor& losses, const Tensor& total) {
  const Tensor none = total == 0;
  const Tensor share = where(none, zeros_like(total), 1 / where(none, 1, total));
  const Tensor undefined = where(none, std::numeric_limits<double>::quiet_NaN(), zeros_like(total));
  return sum(losses) * share + undefined;
}

/// `losses`: of all rows without weights, 0 where ignored; `log_probabilities`: as
/// what smoothing spreads over.
Tensor weighted(const char* op, const Tensor& losses, const Tensor& log_probabilities, const Tensor& target,
                const CrossEntropyOptions& options) {
  const Tensor weight = class_weight(op, options.weight, log_probabilities);
  const Tensor of_target = target_weights(target, options.ignore_index, weight);
  Tensor all = losses * of_target;
  if (options.label_smoothing > 0) {
    const double share = options.label_smoothing / static_cast<double>(log_probabilities.size(1));
    const Tensor spread = sum(log_probabilities * weight.view(along_classes(log_probabilities)), {1});
    const Tensor valid = (target != options.ignore_index).to(losses.dtype());
    all = all * (1 - options.label_smoothing) - spread * valid * share;
  }
  return options.reduction == Reduction::mean ? weighted_mean(all, sum(of_target))
                                              : reduced(all, options.reduction);
}

Tensor of_probabilities(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& options) {
  const char* const op = "cross_entropy";
  check_pair(op, logits, target);
  check(logits.dim() >= 2, op, ": the input has shape ", logits.shape(),
        "; it must be (n, classes) or (n, classes, ...)");
  check(options.ignore_index < 0, op, ": ignore_index is ", options.ignore_index,
        "; a target of probabilities has no index to ignore");
  Tensor wanted = target;
  if (options.label_smoothing > 0)
    wanted = target * (1 - options.label_smoothing) +
             options.label_smoothing / static_cast<double>(logits.size(1));
  if (options.weight.defined())
    wanted = wanted * class_weight(op, options.weight, logits).view(along_classes(logits));
  return reduced(-sum(log_softmax(logits, 1) * wanted, {1}), options.reduction);
}

}  // namespace

Tensor target_weights(const Tensor& target, std::int64_t ignore_index, const Tensor& weight) {
  const Tensor ignored = target == ignore_index;
  const Tensor indices = where(ignored, 0, target.to(int64));
  const Tensor weights = index_select(weight, 0, indices.reshape({indices.numel()})).view(target.shape());
  return where(ignored, 0, weights);
}

Tensor cross_entropy(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& options) {
  MP_AUTOCAST(cross_entropy, logits, target, options);
  const char* const op = "cross_entropy";
  check_defined(op, logits);
  check_defined(op, target);
  check_smoothing(op, options.label_smoothing);
  const bool by_probabilities = target.is_floating() && target.shape() == logits.shape();
  const bool composed = by_probabilities || options.weight.defined();
  if (is_half_on_cpu(logits) || (composed && is_half(logits)))
    return in_float32(MP_OP(cross_entropy), logits, target, options);
  if (by_probabilities) return of_probabilities(logits, target, options);
  if (!options.weight.defined()) return fused_cross_entropy(logits, target, options);
  const Tensor losses = fused_cross_entropy(
      logits, target, {.reduction = Reduction::none, .ignore_index = options.ignore_index});
  return weighted(op, losses, options.label_smoothing > 0 ? log_softmax(logits, 1) : logits, target, options);
}

Tensor nll_loss(const Tensor& log_probabilities, const Tensor& target, const NllLossOptions& options) {
  MP_AUTOCAST(nll_loss, log_probabilities, target, options);
  if (is_half_on_cpu(log_probabilities) || (options.weight.defined() && is_half(log_probabilities)))
    return in_float32(MP_OP(nll_loss), log_probabilities, target, options);
  if (!options.weight.defined()) return fused_nll_loss(log_probabilities, target, options);
  const Tensor losses = fused_nll_loss(log_probabilities, target,
                                       {.reduction = Reduction::none, .ignore_index = options.ignore_index});
  return weighted(
      "nll_loss", losses, log_probabilities, target,
      {.reduction = options.reduction, .ignore_index = options.ignore_index, .weight = options.weight});
}

}  // namespace miniparallel
