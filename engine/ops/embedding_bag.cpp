#include "engine/ops/half.h"
#include "engine/ops/indexing.h"

#include <algorithm>
#include <limits>

// Rows of a table brought together by bag: the rows are gathered, then reduced.

namespace miniparallel {
namespace {

constexpr const char* kOp = "embedding_bag";

/// Bags of different lengths as rows of one length: `places` (bags, longest) in the index, and which count.
struct Bags {
  Tensor indices, counts;
  Tensor places;  ///< undefined where the indices have rows already
};

Bags bags_of(const Tensor& indices, const Tensor& offsets) {
  if (!offsets.defined()) {
    check(indices.dim() == 2, kOp, ": indices have shape ", indices.shape(),
          "; without offsets they must be (bags, length)");
    return {indices, full({}, true, {.device = indices.device()}).expand(indices.shape()), {}};
  }
  check(indices.dim() == 1 && offsets.dim() == 1, kOp, ": indices have shape ", indices.shape(),
        " and offsets ", offsets.shape(), "; both must be vectors");
  check_index(kOp, indices, offsets);
  const std::vector<std::int64_t> first = offsets.to_vector<std::int64_t>();
  const std::int64_t n = indices.numel(), bags = offsets.numel();
  std::int64_t longest = 0;
  for (std::int64_t i = 0; i < bags; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const std::int64_t end = i + 1 < bags ? first[at + 1] : n;
    check(first[at] >= 0 && first[at] <= end && end <= n && (i > 0 || first[at] == 0), kOp, ": offset ", i,
          " is ", first[at], " of ", n, " indices; offsets begin at 0, and none is below the one before");
    longest = std::max(longest, end - first[at]);
  }
  const TensorOptions counting{.dtype = int64, .device = indices.device()};
  const Tensor begin = offsets.to(int64).unsqueeze(1);
  const Tensor end = cat({offsets.to(int64), full({1}, n, counting)}).narrow(0, 1, bags).unsqueeze(1);
  const Tensor places = begin + arange(longest, counting), counts = places < end;
  const Tensor safe = where(counts, places, 0);
  return {n == 0 ? zeros({bags, longest}, counting) : take(indices, safe), counts, safe};
}

}  // namespace

Tensor embedding_bag(const Tensor& weight, const Tensor& indices, const Tensor& offsets,
                     const EmbeddingBagOptions& options) try {
  check_index(kOp, weight, indices);
  check_floating(kOp, weight);
  check(weight.dim() == 2, kOp, ": weight has shape ", weight.shape(), "; it must be (count, width)");
  check(options.padding_idx < weight.size(0), kOp, ": padding_idx ", options.padding_idx,
        " is out of range for ", weight.size(0), " rows; pass -1 for none");
  const Tensor& factors = options.per_sample_weights;
  if (factors.defined()) {
    check(options.mode == BagMode::sum, kOp, ": per_sample_weights go with mode sum; leave them out");
    check_same_dtype(kOp, {weight, factors});
    check(factors.shape() == indices.shape(), kOp, ": per_sample_weights have shape ", factors.shape(),
          ", the indices ", indices.shape(), "; they must agree");
  }
  if (is_half(weight)) {
    EmbeddingBagOptions wide = options;
    wide.per_sample_weights = widened(factors);
    return in_float32(MP_OP(embedding_bag), weight, indices, offsets, wide);
  }
  Bags bags = bags_of(indices, offsets);
  if (options.padding_idx >= 0) bags.counts = bags.counts & (bags.indices != options.padding_idx);
  const Tensor rows = embedding(weight, bags.indices, options.padding_idx);  // (bags, length, width)
  const Tensor counts = bags.counts.unsqueeze(-1);
  if (options.mode == BagMode::max) {
    if (rows.size(1) == 0) return sum(rows, {1});
    const Tensor largest = max(where(counts, rows, -std::numeric_limits<double>::infinity()), 1).values;
    return where(any(counts, {1}), largest, 0);
  }
  if (factors.defined()) {
    const Tensor each = bags.places.defined() ? take(factors, bags.places) : factors;
    return sum(where(counts, rows * each.unsqueeze(-1), 0), {1});
  }
  const Tensor total = sum(where(counts, rows, 0), {1});
  if (options.mode == BagMode::sum) return total;
  return total / clamp_min(sum(counts, {1}), 1).to(weight.dtype());
} catch (const Error& error) {
  rethrow_as(kOp, error);
}

}  // namespace miniparallel
