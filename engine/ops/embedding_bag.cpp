#include "engine/autograd/trace.h"
#include "engine/ops/bag.h"
#include "engine/ops/half.h"
#include "engine/ops/indexing.h"

#include <algorithm>
#include <limits>

// Rows of a table brought together by bag.

namespace miniparallel {
namespace {

constexpr const char* kOp = "embedding_bag";

/// Where each bag of a vector of indices ends; of indices in rows, which are bags themselves, nothing.
std::vector<std::int64_t> ends_of(const Tensor& indices, const Tensor& offsets) {
  if (!offsets.defined()) {
    check(indices.dim() == 2, kOp, ": indices have shape ", indices.shape(),
          "; without offsets they must be (bags, length)");
    return {};
  }
  check(indices.dim() == 1 && offsets.dim() == 1, kOp, ": indices have shape ", indices.shape(),
        " and offsets ", offsets.shape(), "; both must be vectors");
  check_index(kOp, indices, offsets);
  const std::vector<std::int64_t> first = offsets.to_vector<std::int64_t>();
  const std::int64_t n = indices.numel();
  std::vector<std::int64_t> ends(first.size(), n);
  std::copy(first.begin() + (first.empty() ? 0 : 1), first.end(), ends.begin());
  for (std::size_t i = 0; i < first.size(); ++i)
    check(first[i] >= 0 && first[i] <= ends[i] && ends[i] <= n && (i > 0 || first[i] == 0), kOp, ": offset ",
          i, " is ", first[i], " of ", n, " indices; offsets begin at 0, and none is below the one before");
  return ends;
}

Bags bags_of(const Tensor& indices, const Tensor& offsets, std::int64_t padding_idx) {
  const std::vector<std::int64_t> ends = ends_of(indices, offsets);
  Bags bags{
      .op = kOp, .index = indices.contiguous().flatten(), .count = indices.size(0), .skip = padding_idx};
  if (!offsets.defined()) return bags;
  std::vector<std::int64_t> bag_of;
  for (std::size_t bag = 0; bag < ends.size(); ++bag)
    bag_of.resize(static_cast<std::size_t>(ends[bag]), static_cast<std::int64_t>(bag));
  const auto vector = [&](const std::vector<std::int64_t>& values) {
    return from_data(values.data(), {std::ssize(values)}, int64, indices.device());
  };
  bags.count = offsets.numel();
  bags.ends = vector(ends);
  bags.bag_of = vector(bag_of);
  return bags;
}

Tensor summed(const Tensor& weight, const Bags& bags, const Tensor& factors) {
  return bag_sums(bags, weight, factors.defined() ? factors.flatten() : factors);
}

Tensor averaged(const Tensor& weight, const Bags& bags) {
  const Tensor total = bag_sums(bags, weight);
  if (!bags.ends.defined() && bags.skip < 0)
    return total / std::max<std::int64_t>(bags.index.numel() / std::max<std::int64_t>(bags.count, 1), 1);
  const Tensor one = ones({weight.size(0), 1}, {.dtype = weight.dtype(), .device = weight.device()});
  return total / clamp_min(bag_sums(bags, one), 1);
}

// --- made of other ops: the rows are gathered, then reduced

/// Bags of different lengths as rows of one length: `places` (bags, longest) in the index, and which count.
struct Padded {
  Tensor indices, counts;
  Tensor places;  ///< undefined where the indices have rows already
};

Padded padded(const Tensor& indices, const Tensor& offsets) {
  const std::vector<std::int64_t> ends = ends_of(indices, offsets);
  if (!offsets.defined())
    return {indices, full({}, true, {.device = indices.device()}).expand(indices.shape()), {}};
  const std::int64_t n = indices.numel(), bags = offsets.numel();
  std::int64_t longest = 0, begin = 0;
  for (const std::int64_t end : ends) longest = std::max(longest, end - std::exchange(begin, end));
  const TensorOptions counting{.dtype = int64, .device = indices.device()};
  const Tensor last = from_data(ends.data(), {bags, 1}, int64, indices.device());
  const Tensor places = offsets.to(int64).unsqueeze(1) + arange(longest, counting), counts = places < last;
  const Tensor safe = where(counts, places, 0);
  return {n == 0 ? zeros({bags, longest}, counting) : take(indices, safe), counts, safe};
}

Tensor composed(const Tensor& weight, const Tensor& indices, const Tensor& offsets,
                const EmbeddingBagOptions& options) {
  Padded bags = padded(indices, offsets);
  if (options.padding_idx >= 0) bags.counts = bags.counts & (bags.indices != options.padding_idx);
  const Tensor rows = embedding(weight, bags.indices, options.padding_idx);  // (bags, length, width)
  const Tensor counts = bags.counts.unsqueeze(-1), &factors = options.per_sample_weights;
  if (options.mode == BagMode::max) {
    if (rows.size(1) == 0) return sum(rows, {1});
    const Tensor largest = max(where(counts, rows, -std::numeric_limits<double>::infinity()), 1).values;
    return where(any(counts, {1}), largest, 0);
  }
  if (factors.defined()) {
    const Tensor each = bags.places.defined() ? take(factors, bags.places) : factors;
    return sum(where(counts, rows * each.unsqueeze(-1), 0), {1});
  }
  Tensor total = sum(where(counts, rows, 0), {1});
  if (options.mode == BagMode::sum) return total;
  return total / clamp_min(sum(counts, {1}), 1).to(weight.dtype());
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
  // What is traced for another language is best made of ops that it knows.
  if (options.mode == BagMode::max || autograd::tracing != nullptr)
    return composed(weight, indices, offsets, options);
  const Bags bags = bags_of(indices, offsets, options.padding_idx);
  return options.mode == BagMode::sum ? summed(weight, bags, factors) : averaged(weight, bags);
} catch (const Error& error) {
  rethrow_as(kOp, error);
}

}  // namespace miniparallel
