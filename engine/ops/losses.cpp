#include "engine/ops/autocast.h"
#include "engine/ops/loss.h"

#include <cmath>
#include <limits>
#include <numbers>

// Losses that are made of other ops.

namespace miniparallel {

Tensor reduced(const Tensor& losses, Reduction reduction) {
  return reduction == Reduction::none ? losses : reduction == Reduction::sum ? sum(losses) : mean(losses);
}

Tensor binary_cross_entropy_with_logits(const Tensor& x, const Tensor& target,
                                        const BceWithLogitsOptions& options) try {
  MP_AUTOCAST(binary_cross_entropy_with_logits, x, target, options);
  check_pair("binary_cross_entropy_with_logits", x, target);
  if (!options.weight.defined() && !options.pos_weight.defined())
    return bce_with_logits(x, target, options.reduction);
  if (is_half(x)) return in_float32(MP_OP(binary_cross_entropy_with_logits), x, target, options);
  Tensor losses;
  if (options.pos_weight.defined()) {
    const Tensor miss = bce_with_logits(x, ones_like(x), Reduction::none);  // -log sigmoid(x)
    losses = (1 - target) * x + (1 + (factor_like(options.pos_weight, x) - 1) * target) * miss;
  } else {
    losses = bce_with_logits(x, target, Reduction::none);
  }
  if (options.weight.defined()) losses = losses * factor_like(options.weight, x);
  return reduced(losses, options.reduction);
} catch (const Error& error) {
  rethrow_as("binary_cross_entropy_with_logits", error);
}

/// On a GPU the host does not wait for the elements.
static void check_probabilities(const char* op, const Tensor& x) {
  if (!x.device().is_cpu() || x.numel() == 0) return;
  const Tensor elements = x.detach();
  const double least = amin(elements).item(), greatest = amax(elements).item();
  check(least >= 0 && greatest <= 1, op, ": the input has elements from ", least, " to ", greatest,
        "; they must be in [0, 1], of logits use binary_cross_entropy_with_logits");
}

Tensor binary_cross_entropy(const Tensor& x, const Tensor& target,
                            const BinaryCrossEntropyOptions& options) try {
  check_pair("binary_cross_entropy", x, target);
  if (is_half(x)) return in_float32(MP_OP(binary_cross_entropy), x, target, options);
  check_probabilities("binary_cross_entropy", x);
  // Bounded before the logarithm, whose slope at 0 times the bound's 0 would be NaN. A NaN stays one in the
  // gradient, too, where the bound has 0.
  const auto bounded_log = [](const Tensor& p) {
    return log(where(isnan(p), p, clamp(p, std::exp(-100.0), 1)));
  };
  Tensor losses = -(target * bounded_log(x) + (1 - target) * bounded_log(1 - x));
  if (options.weight.defined()) losses = losses * factor_like(options.weight, x);
  return reduced(losses, options.reduction);
} catch (const Error& error) {
  rethrow_as("binary_cross_entropy", error);
}

Tensor gaussian_nll_loss(const Tensor& x, const Tensor& target, const Tensor& variance,
                         const GaussianNllLossOptions& options) try {
  const char* const op = "gaussian_nll_loss";
  check_pair(op, x, target);
  check_defined(op, variance);
  check_same_dtype(op, {x, variance});
  if (is_half(x)) return in_float32(MP_OP(gaussian_nll_loss), x, target, variance, options);
  check(options.eps > 0, op, ": eps is ", options.eps, "; it must be above 0");
  // The bound changes the value alone: a variance below it still learns.
  const Tensor low = variance.detach();
  const Tensor v = variance + (clamp(low, options.eps, std::numeric_limits<double>::infinity()) - low);
  const Tensor losses = (log(v) + square(x - target) / v) * 0.5;
  return reduced(options.full ? losses + 0.5 * std::log(2 * std::numbers::pi) : losses, options.reduction);
} catch (const Error& error) {
  rethrow_as("gaussian_nll_loss", error);
}

Tensor pairwise_distance(const Tensor& a, const Tensor& b, double p, double eps, bool keepdim) try {
  const char* const op = "pairwise_distance";
  check_defined(op, a);
  check_defined(op, b);
  check_floating(op, a);
  check_same_dtype(op, {a, b});
  if (is_half(a)) return in_float32(MP_OP(pairwise_distance), a, b, p, eps, keepdim);
  check(p >= 1, op, ": p is ", p, "; it must be at least 1");
  const Tensor d = a - b + eps;
  check(d.dim() > 0, op, ": got tensors without dimensions; the distance is along the last one");
  return norm(d, p, {-1}, keepdim);
} catch (const Error& error) {
  rethrow_as("pairwise_distance", error);
}

Tensor cosine_similarity(const Tensor& a, const Tensor& b, int dim, double eps) try {
  MP_AUTOCAST(cosine_similarity, a, b, dim, eps);
  const char* const op = "cosine_similarity";
  check_defined(op, a);
  check_defined(op, b);
  check_floating(op, a);
  check_same_dtype(op, {a, b});
  if (is_half(a)) return in_float32(MP_OP(cosine_similarity), a, b, dim, eps);
  check(eps > 0, op, ": eps is ", eps, "; it must be above 0");
  const auto length = [&](const Tensor& x) {
    return sqrt(clamp(sum(square(x), {dim}, true), eps * eps, std::numeric_limits<double>::infinity()));
  };
  return sum((a / length(a)) * (b / length(b)), {dim});
} catch (const Error& error) {
  rethrow_as("cosine_similarity", error);
}

namespace {

/// Distances by squares: |x|^2 + |y|^2 - 2 x y.
Tensor cdist_by_product(const Tensor& a, const Tensor& b) {
  const Tensor squares = sum(square(a), {-1}, true) + sum(square(b), {-1}).unsqueeze(-2);
  const Tensor distance = squares - 2 * matmul(a, b.transpose(-1, -2));
  const Tensor none = distance <= 0;  // by rounding too
  return where(none, 0, sqrt(where(none, 1, distance)));
}

}  // namespace

Tensor cdist(const Tensor& a, const Tensor& b, double p) try {
  MP_AUTOCAST(cdist, a, b, p);
  const char* const op = "cdist";
  check_defined(op, a);
  check_defined(op, b);
  check_floating(op, a);
  check_same_dtype(op, {a, b});
  if (is_half(a)) return in_float32(MP_OP(cdist), a, b, p);
  check(a.dim() >= 2 && b.dim() >= 2 && a.size(-1) == b.size(-1), op, ": got shapes ", a.shape(), " and ",
        b.shape(), "; they must be (..., rows, width) of one width");
  check(p >= 0, op, ": p is ", p, "; it must be at least 0");
  constexpr std::int64_t few = 25;  // PyTorch's
  if (p == 2 && (a.size(-2) > few || b.size(-2) > few)) return cdist_by_product(a, b);
  const Tensor d = a.unsqueeze(-2) - b.unsqueeze(-3);
  return norm(d, a.size(-1) == 0 ? 1 : p, {-1});  // without elements each norm is 0
} catch (const Error& error) {
  rethrow_as("cdist", error);
}

Tensor triplet_margin_loss(const Tensor& anchor, const Tensor& positive, const Tensor& negative,
                           const TripletMarginLossOptions& options) try {
  MP_AUTOCAST(triplet_margin_loss, anchor, positive, negative, options);
  check(options.margin > 0, "triplet_margin_loss: margin is ", options.margin, "; it must be above 0");
  if (is_half(anchor)) return in_float32(MP_OP(triplet_margin_loss), anchor, positive, negative, options);
  const auto distance = [&](const Tensor& a, const Tensor& b) {
    return pairwise_distance(a, b, options.p, options.eps);
  };
  const Tensor near = distance(anchor, positive);
  Tensor far = distance(anchor, negative);
  if (options.swap) far = minimum(far, distance(positive, negative));
  return reduced(relu(near - far + options.margin), options.reduction);
} catch (const Error& error) {
  rethrow_as("triplet_margin_loss", error);
}

Tensor cosine_embedding_loss(const Tensor& a, const Tensor& b, const Tensor& target,
                             const CosineEmbeddingLossOptions& options) try {
  MP_AUTOCAST(cosine_embedding_loss, a, b, target, options);
  const char* const op = "cosine_embedding_loss";
  check_pair(op, a, b);
  check_defined(op, target);
  check_same_device(op, {a, target});
  if (is_half(a)) return in_float32(MP_OP(cosine_embedding_loss), a, b, target, options);
  check(a.dim() == 2 && target.shape() == Shape{a.size(0)}, op, ": inputs of shape ", a.shape(),
        " and a target of shape ", target.shape(), " do not fit; they must be (n, width) and (n)");
  constexpr double eps = 1e-12;  // PyTorch's, added to the squares of lengths
  const auto squared_length = [](const Tensor& x) { return sum(square(x), {1}) + eps; };
  const Tensor cosine = sum(a * b, {1}) / sqrt(squared_length(a) * squared_length(b));
  const Tensor zero = zeros_like(cosine);
  const Tensor apart = where(target == -1, relu(cosine - options.margin), zero);
  return reduced(where(target == 1, 1 - cosine, apart), options.reduction);
} catch (const Error& error) {
  rethrow_as("cosine_embedding_loss", error);
}

}  // namespace miniparallel
