#include "engine/ops/common.h"
#include "engine/ops/half.h"
#include "engine/ops/indexing.h"
#include "engine/ops/sort.h"

#include <algorithm>
#include <limits>

// What sorting finds: elements by their rank, the different ones, places among sorted ones.

namespace miniparallel {
namespace {

/// The element of rank k, counted from 0, along dimension d, which stays with size 1.
ValuesAndIndices of_rank(const Tensor& x, std::int64_t k, int d) {
  return sorted_places("sort", x, d, false, {k, k + 1});
}

ValuesAndIndices without(ValuesAndIndices found, int d, bool keepdim) {
  if (keepdim) return found;
  return {found.values.squeeze(d), found.indices.squeeze(d)};
}

/// The dimension and a tensor that has it: a number has one of size 1.
std::pair<Tensor, int> ranked(const char* op, const Tensor& x, int dim) {
  check_defined(op, x);
  const int d = normalize_dim(op, dim, x.dim());
  const Tensor line = x.dim() == 0 ? x.unsqueeze(0) : x;
  check(line.size(d) > 0, op, ": nothing to choose from in a tensor of shape ", x.shape(),
        "; the dimension must not be empty");
  return {line, d};
}

/// NaN, the last in order, where there is one, else the middle.
ValuesAndIndices middle(const Tensor& x, int d) {
  ValuesAndIndices lower = of_rank(x, (x.size(d) - 1) / 2, d);
  if (!x.is_floating()) return lower;
  const Tensor nan = isnan(x.detach());
  const Tensor first = argmax(nan.to(uint8), d, true);
  const Tensor indices = where(any(nan, {d}, true), first, lower.indices);
  return {gather_once(x, d, indices), indices};
}

}  // namespace

ValuesAndIndices median(const Tensor& x, int dim, bool keepdim) try {
  const auto [line, d] = ranked("median", x, dim);
  return without(middle(line, d), d, keepdim && x.dim() > 0);
} catch (const Error& error) {
  rethrow_as("median", error);
}

Tensor median(const Tensor& x) try {
  const auto [line, d] = ranked("median", x.flatten(), 0);
  return middle(line, d).values.squeeze(0);
} catch (const Error& error) {
  rethrow_as("median", error);
}

ValuesAndIndices kthvalue(const Tensor& x, std::int64_t k, int dim, bool keepdim) try {
  const auto [line, d] = ranked("kthvalue", x, dim);
  check(k >= 1 && k <= line.size(d), "kthvalue: k is ", k, " for dimension ", dim, " of ", x.shape(),
        "; it must be at least 1 and at most its size");
  return without(of_rank(line, k - 1, d), d, keepdim && x.dim() > 0);
} catch (const Error& error) {
  rethrow_as("kthvalue", error);
}

Tensor quantile(const Tensor& x, double q, std::optional<int> dim, bool keepdim) try {
  check_floating("quantile", x);
  check(q >= 0 && q <= 1, "quantile: q is ", q, "; it must be in [0, 1]");
  if (is_half(x)) return in_float32(MP_OP(quantile), x, q, dim, keepdim);
  if (!dim) {
    const Tensor y = quantile(x.flatten(), q, 0, false);
    return keepdim ? y.reshape(Shape::filled(x.dim(), 1)) : y;
  }
  const auto [line, d] = ranked("quantile", x, *dim);
  const double place = q * static_cast<double>(line.size(d) - 1);
  const auto below = static_cast<std::int64_t>(place);
  const std::int64_t above = std::min(below + 1, line.size(d) - 1);
  const Tensor values = sorted_places("quantile", line, d, false, {below, above + 1}).values;
  Tensor y =
      lerp(values.narrow(d, 0, 1), values.narrow(d, above - below, 1), place - static_cast<double>(below));
  y = where(any(isnan(line.detach()), {d}, true), std::numeric_limits<double>::quiet_NaN(), y);
  return keepdim && x.dim() > 0 ? y : y.squeeze(d);
} catch (const Error& error) {
  rethrow_as("quantile", error);
}

Tensor msort(const Tensor& x) try { return sort(x, 0).values; } catch (const Error& error) {
  rethrow_as("msort", error);
}

// --- the different ones

namespace {

/// Whether each element of a vector differs from the one before it; the first does.
Tensor begins_run(const Tensor& x) {
  const std::int64_t n = x.numel();
  const Tensor first = full({std::min<std::int64_t>(n, 1)}, true, {.device = x.device()});
  return n < 2 ? first : cat({first, x.narrow(0, 1, n - 1) != x.narrow(0, 0, n - 1)});
}

/// Runs of equal elements of a vector.
UniqueElements runs_of(const char* op, const Tensor& x) {
  const Tensor begins = begins_run(x), run = cumsum(begins, 0) - 1;
  const Tensor values = masked_select(x, begins);
  const Tensor ones = zeros({x.numel()}, {.dtype = float64, .device = x.device()}) + 1;
  const Tensor counts = scatter_rows({op, 0, -1}, ones, run, {values.numel()});
  return {values, run, counts.to(int64)};
}

}  // namespace

UniqueElements unique(const Tensor& x) try {
  const Tensor flat = x.detach().flatten();
  const ValuesAndIndices sorted = sort(flat, 0);
  UniqueElements found = runs_of("unique", sorted.values);
  found.inverse = scatter(found.inverse, 0, sorted.indices, found.inverse).view(x.shape());
  return found;
} catch (const Error& error) {
  rethrow_as("unique", error);
}

UniqueElements unique_consecutive(const Tensor& x) try {
  UniqueElements found = runs_of("unique_consecutive", x.detach().flatten());
  found.inverse = found.inverse.view(x.shape());
  return found;
} catch (const Error& error) {
  rethrow_as("unique_consecutive", error);
}

// --- places

namespace {

Tensor places(const char* op, const Tensor& sorted, const Tensor& values, bool right) try {
  check_defined(op, sorted);
  check_defined(op, values);
  check(sorted.dim() == 1, op, ": the sorted elements have shape ", sorted.shape(),
        "; they must be a vector");
  const Tensor each = values.detach().unsqueeze(-1), edges = sorted.detach();
  return sum(right ? edges <= each : edges < each, {-1});
} catch (const Error& error) {
  rethrow_as(op, error);
}

}  // namespace

Tensor searchsorted(const Tensor& sorted, const Tensor& values, bool right) {
  return places("searchsorted", sorted, values, right);
}
Tensor bucketize(const Tensor& values, const Tensor& boundaries, bool right) {
  return places("bucketize", boundaries, values, right);
}

Tensor isin(const Tensor& x, const Tensor& values) try {
  check_defined("isin", values);
  return any(x.detach().unsqueeze(-1) == values.detach().flatten(), {-1});
} catch (const Error& error) {
  rethrow_as("isin", error);
}

}  // namespace miniparallel
