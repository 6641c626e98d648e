#include "engine/ops/autocast.h"
#include "engine/ops/loss.h"

#include <cmath>
#include <numbers>

// Losses of margins, counts and several labels, made of other ops.

namespace miniparallel {

Tensor poisson_nll_loss(const Tensor& x, const Tensor& target, const PoissonNllLossOptions& options) {
  MP_AUTOCAST(poisson_nll_loss, x, target, options);
  const char* const op = "poisson_nll_loss";
  check_pair(op, x, target);
  if (is_half(x)) return in_float32(MP_OP(poisson_nll_loss), x, target, options);
  check(options.eps > 0, op, ": eps is ", options.eps, "; it must be above 0");
  Tensor losses = options.log_input ? exp(x) - target * x : x - target * log(x + options.eps);
  if (options.full) {
    const Tensor counted = target > 1, t = where(counted, target, 1);
    const Tensor factorial = t * log(t) - t + 0.5 * log(t * (2 * std::numbers::pi));
    losses = losses + where(counted, factorial, 0);
  }
  return reduced(losses, options.reduction);
}

Tensor multilabel_soft_margin_loss(const Tensor& x, const Tensor& target, const Tensor& weight,
                                   Reduction reduction) try {
  check_pair("multilabel_soft_margin_loss", x, target);
  if (is_half(x)) return in_float32(MP_OP(multilabel_soft_margin_loss), x, target, weight, reduction);
  check(x.dim() > 0, "multilabel_soft_margin_loss: got a number; the labels are the last dimension");
  Tensor losses = bce_with_logits(x, target, Reduction::none);
  if (weight.defined()) losses = losses * factor_like(weight, x);
  return reduced(mean(losses, {-1}), reduction);
} catch (const Error& error) {
  rethrow_as("multilabel_soft_margin_loss", error);
}

Tensor hinge_embedding_loss(const Tensor& x, const Tensor& target, double margin, Reduction reduction) try {
  MP_AUTOCAST(hinge_embedding_loss, x, target, margin, reduction);
  check_floating("hinge_embedding_loss", x);
  check_defined("hinge_embedding_loss", target);
  check_same_device("hinge_embedding_loss", {x, target});
  if (is_half(x)) return in_float32(MP_OP(hinge_embedding_loss), x, target, margin, reduction);
  check(x.shape() == target.shape(), "hinge_embedding_loss: got shapes ", x.shape(), " and ", target.shape(),
        "; they must agree");
  return reduced(where(target == -1, relu(margin - x), 0) + where(target == 1, x, 0), reduction);
} catch (const Error& error) {
  rethrow_as("hinge_embedding_loss", error);
}

Tensor multi_margin_loss(const Tensor& x, const Tensor& target, const MultiMarginLossOptions& options) try {
  MP_AUTOCAST(multi_margin_loss, x, target, options);
  const char* const op = "multi_margin_loss";
  check_floating(op, x);
  check_defined(op, target);
  check_same_device(op, {x, target});
  if (is_half(x)) return in_float32(MP_OP(multi_margin_loss), x, target, options);
  check(x.dim() == 2 && x.size(1) > 0 && target.shape() == Shape{x.size(0)}, op, ": got shapes ", x.shape(),
        " and ", target.shape(), "; they must be (n, classes) and (n)");
  check(target.dtype() == int64 || target.dtype() == int32, op, ": the target is ", target.dtype(),
        "; convert it to int64 or int32");
  check(options.p == 1 || options.p == 2, op, ": p is ", options.p, "; it must be 1 or 2");
  const Tensor index = target.unsqueeze(1);
  Tensor excess = relu(options.margin - gather(x, 1, index) + x);
  if (options.p == 2) excess = square(excess);
  if (options.weight.defined()) {
    check(options.weight.shape() == Shape{x.size(1)}, op, ": weight has shape ", options.weight.shape(),
          "; it must be [", x.size(1), "]");
    excess = excess * index_select(factor_like(options.weight, x), 0, target).unsqueeze(1);
  }
  const Tensor classes = arange(x.size(1), {.dtype = int64, .device = x.device()});
  return reduced(mean(where(classes == index, 0, excess), {1}), options.reduction);
} catch (const Error& error) {
  rethrow_as("multi_margin_loss", error);
}

Tensor margin_ranking_loss(const Tensor& a, const Tensor& b, const Tensor& target, double margin,
                           Reduction reduction) try {
  MP_AUTOCAST(margin_ranking_loss, a, b, target, margin, reduction);
  const char* const op = "margin_ranking_loss";
  for (const Tensor* x : {&a, &b, &target}) check_defined(op, *x);
  check_floating(op, a);
  check_same_dtype(op, {a, b});
  check_same_device(op, {a, b, target});
  if (is_half(a)) return in_float32(MP_OP(margin_ranking_loss), a, b, target, margin, reduction);
  return reduced(relu(margin - target * (a - b)), reduction);
} catch (const Error& error) {
  rethrow_as("margin_ranking_loss", error);
}

Tensor pdist(const Tensor& x, double p) try {
  MP_AUTOCAST(pdist, x, p);
  check_floating("pdist", x);
  if (is_half(x)) return in_float32(MP_OP(pdist), x, p);
  check(x.dim() == 2, "pdist: got shape ", x.shape(), "; it must be (n, width)");
  check(p >= 0, "pdist: p is ", p, "; it must be at least 0");
  std::vector<std::int64_t> first, second;
  for (std::int64_t i = 0; i < x.size(0); ++i)
    for (std::int64_t j = i + 1; j < x.size(0); ++j) {
      first.push_back(i);
      second.push_back(j);
    }
  const auto rows = [&](const std::vector<std::int64_t>& index) {
    return index_select(x, 0, tensor(index, {.device = x.device()}));
  };
  return norm(rows(first) - rows(second), x.size(1) == 0 ? 1 : p, {-1});
} catch (const Error& error) {
  rethrow_as("pdist", error);
}

}  // namespace miniparallel
