#include "engine/ops/common.h"

#include <limits>

namespace miniparallel {
namespace {

constexpr const char* kOp = "multinomial";

/// On a GPU the host does not wait for the elements.
void check_weights(const Tensor& x, std::int64_t num_samples, bool replacement) {
  if (!x.device().is_cpu() || x.numel() == 0) return;
  check(all(isfinite(x)).item<bool>() && amin(x).item() >= 0, kOp,
        ": a weight is negative, infinite or NaN; each must be a number that is at least 0");
  const std::int64_t least = amin(count_nonzero(x, {-1})).item<std::int64_t>();
  check(least >= (replacement ? 1 : num_samples), kOp, ": a row of shape ", x.shape(), " has ", least,
        " weights above 0 for ", num_samples, " samples; ",
        replacement ? "it needs one" : "there must be as many, or draw with replacement");
}

/// Each index takes the time of an exponential variable of its rate until it comes: the first ones are drawn.
/// (Efraimidis, Spirakis: "Weighted random sampling with a reservoir", 2006.)
Tensor without_replacement(const Tensor& x, std::int64_t num_samples) {
  const Tensor unit = clamp_min(-log1p(-rand_like(x)), std::numeric_limits<double>::min());
  return topk(x / unit, num_samples, -1).indices;
}

/// Points below the sum of a row, each counted by the partial sums up to it. Sorting the points among the
/// sums counts all of them in one pass.
Tensor with_replacement(const Tensor& x, std::int64_t num_samples) {
  const std::int64_t rows = x.size(0), classes = x.size(1);
  const Tensor ends = cumsum(x, 1);
  const Tensor points =
      rand({rows, num_samples}, {.dtype = float64, .device = x.device()}) * ends.narrow(1, classes - 1, 1);
  const Tensor order = argsort(cat({ends, points}, 1), 1);  // of equal ones the sum comes first
  // A point that rounding has moved to the end of its row belongs to the last class.
  const Tensor passed = clamp_max(cumsum(order < classes, 1), classes - 1);
  return scatter(zeros_like(order), 1, order, passed).narrow(1, classes, num_samples).contiguous();
}

}  // namespace

Tensor multinomial(const Tensor& x, std::int64_t num_samples, bool replacement) try {
  check_defined(kOp, x);
  check(x.is_floating() && (x.dim() == 1 || x.dim() == 2) && x.size(-1) > 0, kOp, ": got ", x.dtype(),
        " weights of shape ", x.shape(), "; they must be floating, (classes) or (rows, classes)");
  check(num_samples > 0 && (replacement || num_samples <= x.size(-1)), kOp, ": got ", num_samples,
        " samples of ", x.size(-1), " classes; there must be at least 1, without replacement at most ",
        x.size(-1));
  const Tensor weights = x.detach().to(float64);
  check_weights(weights, num_samples, replacement);
  const Tensor rows = x.dim() == 1 ? weights.unsqueeze(0) : weights;
  const Tensor drawn =
      replacement ? with_replacement(rows, num_samples) : without_replacement(rows, num_samples);
  return x.dim() == 1 ? drawn.squeeze(0) : drawn;
} catch (const Error& error) {
  rethrow_as(kOp, error);
}

}  // namespace miniparallel
