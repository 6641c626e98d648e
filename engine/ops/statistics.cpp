#include "engine/ops/autocast.h"
#include "engine/ops/common.h"
#include "engine/ops/indexing.h"
#include "engine/ops/native_half.h"

#include <cmath>

// Reductions that are made of others.

namespace miniparallel {

Tensor count_nonzero(const Tensor& x, const Shape& dims) try {
  return sum(x != 0, dims);
} catch (const Error& error) {
  rethrow_as("count_nonzero", error);
}

Tensor any(const Tensor& x, const Shape& dims, bool keepdim) try {
  return sum(x != 0, dims, keepdim) > 0;
} catch (const Error& error) {
  rethrow_as("any", error);
}

Tensor all(const Tensor& x, const Shape& dims, bool keepdim) try {
  return sum(x == 0, dims, keepdim) == 0;
} catch (const Error& error) {
  rethrow_as("all", error);
}

namespace {

/// The order of the elements reversed; -1 - x, unlike -x, is right at both ends of integers.
Tensor reversed(const Tensor& x) {
  return x.dtype() == boolean ? logical_not(x) : x.is_floating() ? -x : -1 - x;
}

}  // namespace

Tensor argmin(const Tensor& x, std::optional<int> dim, bool keepdim) try {
  check(x.numel() > 0 || (dim && x.size(*dim) > 0), "argmin: nothing to compare in a tensor of shape ",
        x.shape(), "; the reduced dimension must not be empty");
  return argmax(reversed(x.detach()), dim, keepdim);
} catch (const Error& error) {
  rethrow_as("argmin", error);
}

namespace {

ValuesAndIndices picked(const Tensor& x, int dim, bool keepdim, const Tensor& indices) {
  if (x.dim() == 0) return {x.clone(), indices};
  const int d = dim < 0 ? dim + x.dim() : dim;
  const Tensor values = gather_once(x, d, indices);
  return keepdim ? ValuesAndIndices{values, indices}
                 : ValuesAndIndices{values.squeeze(d), indices.squeeze(d)};
}

}  // namespace

Tensor max(const Tensor& x) try { return amax(x); } catch (const Error& error) {
  rethrow_as("max", error);
}

Tensor min(const Tensor& x) try { return amin(x); } catch (const Error& error) {
  rethrow_as("min", error);
}

ValuesAndIndices max(const Tensor& x, int dim, bool keepdim) try {
  return picked(x, dim, keepdim, argmax(x, dim, true));
} catch (const Error& error) {
  rethrow_as("max", error);
}

ValuesAndIndices min(const Tensor& x, int dim, bool keepdim) try {
  return picked(x, dim, keepdim, argmin(x, dim, true));
} catch (const Error& error) {
  rethrow_as("min", error);
}

std::pair<Tensor, Tensor> var_mean(const Tensor& x, const Shape& dims, bool unbiased, bool keepdim) try {
  return {var(x, dims, unbiased, keepdim), mean(x, dims, keepdim)};
} catch (const Error& error) {
  rethrow_as("var_mean", error);
}

namespace {

/// base^p, whose gradient is 0 where the base is 0; its slope there may be infinite.
Tensor power(const Tensor& base, double p) {
  const Tensor none = base == 0;
  return where(none, std::pow(0.0, p), pow(where(none, 1, base), p));
}

}  // namespace

Tensor norm(const Tensor& x, double p, const Shape& dims, bool keepdim) try {
  MP_AUTOCAST(norm, x, p, dims, keepdim);
  check_floating("norm", x);
  check(!std::isnan(p), "norm: p is ", p, "; it must be a number");
  if (is_half_on_cpu(x)) return in_float32(MP_OP(norm), x, p, dims, keepdim);
  if (std::isinf(p)) return p > 0 ? amax(abs(x), dims, keepdim) : amin(abs(x), dims, keepdim);
  if (p == 0) return sum(x != 0, dims, keepdim).to(x.dtype());
  if (p == 1) return sum(abs(x), dims, keepdim);
  if (is_half(x)) return in_float32(MP_OP(norm), x, p, dims, keepdim);
  return power(sum(p == 2 ? square(x) : power(abs(x), p), dims, keepdim), 1 / p);
} catch (const Error& error) {
  rethrow_as("norm", error);
}

Tensor logsumexp(const Tensor& x, const Shape& dims, bool keepdim) try {
  MP_AUTOCAST(logsumexp, x, dims, keepdim);
  check_floating("logsumexp", x);
  if (is_half(x)) return in_float32(MP_OP(logsumexp), x, dims, keepdim);
  if (x.numel() == 0) return sum(x, dims, keepdim) - HUGE_VAL;  // the logarithm of 0, with a gradient
  const Tensor largest = amax(x.detach(), dims, true);
  const Tensor shift = where(isfinite(largest), largest, 0);  // not infinity less infinity
  Tensor y = log(sum(exp(x - shift), dims, true)) + shift;
  if (keepdim) return y;
  Shape kept;
  for (int d = 0; d < x.dim(); ++d) {
    bool reduced = dims.empty();
    for (const std::int64_t dim : dims) reduced = reduced || (dim < 0 ? dim + x.dim() : dim) == d;
    if (!reduced) kept.push_back(x.size(d));
  }
  return y.reshape(kept);
} catch (const Error& error) {
  rethrow_as("logsumexp", error);
}

}  // namespace miniparallel
