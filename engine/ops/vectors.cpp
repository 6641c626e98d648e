#include "engine/ops/autocast.h"
#include "engine/ops/common.h"

#include <cmath>
#include <limits>
#include <optional>

// Sums, differences and products of vectors and matrices that are made of other ops.

namespace miniparallel {

Tensor nansum(const Tensor& x, const Shape& dims, bool keepdim) try {
  return sum(x.is_floating() ? where(isnan(x), 0, x) : x, dims, keepdim);
} catch (const Error& error) {
  rethrow_as("nansum", error);
}

Tensor nanmean(const Tensor& x, const Shape& dims, bool keepdim) try {
  check_floating("nanmean", x);
  if (is_half(x)) return in_float32(MP_OP(nanmean), x, dims, keepdim);
  const Tensor nan = isnan(x);
  return sum(where(nan, 0, x), dims, keepdim) / sum(logical_not(nan), dims, keepdim);
} catch (const Error& error) {
  rethrow_as("nanmean", error);
}

Tensor dist(const Tensor& a, const Tensor& b, double p) try {
  MP_AUTOCAST(dist, a, b, p);
  check_same_dtype("dist", {a, b});
  if (is_half(a)) return in_float32(MP_OP(dist), a, b, p);
  return norm(a - b, p);
} catch (const Error& error) {
  rethrow_as("dist", error);
}

// --- along a dimension

namespace {

/// The elements from the second on, and those up to the last but one.
std::pair<Tensor, Tensor> neighbours(const Tensor& x, int d) {
  const std::int64_t n = x.size(d) - 1;
  return {x.narrow(d, 1, n), x.narrow(d, 0, n)};
}

}  // namespace

Tensor diff(const Tensor& x, std::int64_t n, int dim) try {
  if (is_half(x) && n > 1) return in_float32(MP_OP(diff), x, n, dim);
  check_defined("diff", x);
  check(x.dim() > 0, "diff: a number has no neighbours; it takes at least 1 dimension");
  check(n >= 0, "diff: n is ", n, "; it must be at least 0");
  const int d = normalize_dim("diff", dim, x.dim());
  Tensor y = n == 0 ? x.clone() : x;
  for (std::int64_t i = 0; i < n && y.size(d) > 0; ++i) {
    const auto [after, before] = neighbours(y, d);
    y = x.dtype() == boolean ? logical_xor(after, before) : after - before;
  }
  return y.is_same(x) ? x.clone() : y;
} catch (const Error& error) {
  rethrow_as("diff", error);
}

namespace {

/// The areas between neighbours.
Tensor trapezoids(const char* op, const Tensor& y, double dx, int d) {
  check_floating(op, y);
  check(y.size(d) > 0, op, ": dimension ", d, " of ", y.shape(), " is empty; there must be a point");
  const auto [after, before] = neighbours(y, d);
  return (after + before) * (dx / 2);
}

/// Throws unless there is a dimension.
int dim_of(const char* op, const Tensor& x, int dim) {
  check_defined(op, x);
  check(x.dim() > 0, op, ": got a number; it takes at least 1 dimension");
  return normalize_dim(op, dim, x.dim());
}

}  // namespace

Tensor trapezoid(const Tensor& y, double dx, int dim) try {
  if (is_half(y)) return in_float32(MP_OP(trapezoid), y, dx, dim);
  const int d = dim_of("trapezoid", y, dim);
  return sum(trapezoids("trapezoid", y, dx, d), {d});
} catch (const Error& error) {
  rethrow_as("trapezoid", error);
}

Tensor cumulative_trapezoid(const Tensor& y, double dx, int dim) try {
  if (is_half(y)) return in_float32(MP_OP(cumulative_trapezoid), y, dx, dim);
  const int d = dim_of("cumulative_trapezoid", y, dim);
  return cumsum(trapezoids("cumulative_trapezoid", y, dx, d), d);
} catch (const Error& error) {
  rethrow_as("cumulative_trapezoid", error);
}

Tensor normalize(const Tensor& x, double p, int dim, double eps) try {
  MP_AUTOCAST(normalize, x, p, dim, eps);
  check_floating("normalize", x);
  if (is_half(x)) return in_float32(MP_OP(normalize), x, p, dim, eps);
  return x / clamp_min(norm(x, p, {dim}, true), eps);
} catch (const Error& error) {
  rethrow_as("normalize", error);
}

Tensor cross(const Tensor& a, const Tensor& b, int dim) try {
  MP_AUTOCAST(cross, a, b, dim);
  check_defined("cross", a);
  check_defined("cross", b);
  check_same_dtype("cross", {a, b});
  if (is_half(a)) return in_float32(MP_OP(cross), a, b, dim);
  const Shape shape = broadcast_shapes("cross", a.shape(), b.shape());
  check(a.dim() == b.dim() && a.dim() > 0, "cross: got shapes ", a.shape(), " and ", b.shape(),
        "; they must have as many dimensions, at least one");
  const int d = normalize_dim("cross", dim, shape.rank());
  check(a.size(d) == 3 && b.size(d) == 3, "cross: dimension ", d, " of ", a.shape(), " and ", b.shape(),
        " must have size 3");
  const auto turned = [d](const Tensor& x, std::int64_t by) { return roll(x, {by}, {d}); };
  return turned(a, -1) * turned(b, 1) - turned(a, 1) * turned(b, -1);
} catch (const Error& error) {
  rethrow_as("cross", error);
}

Tensor local_response_norm(const Tensor& x, std::int64_t size, double alpha, double beta, double k) try {
  check_floating("local_response_norm", x);
  if (is_half(x)) return in_float32(MP_OP(local_response_norm), x, size, alpha, beta, k);
  check(x.dim() >= 3, "local_response_norm: got shape ", x.shape(), "; it must be (n, channels, ...)");
  check(size >= 1, "local_response_norm: size is ", size, "; it must be at least 1");
  std::vector<std::int64_t> margins(static_cast<std::size_t>(2 * (x.dim() - 1)), 0);
  margins[margins.size() - 2] = size / 2;
  margins[margins.size() - 1] = (size - 1) / 2;
  const Tensor squares = pad(square(x), margins);
  Tensor total = squares.narrow(1, 0, x.size(1));
  for (std::int64_t i = 1; i < size; ++i) total = total + squares.narrow(1, i, x.size(1));
  return x / pow(total * (alpha / static_cast<double>(size)) + k, beta);
} catch (const Error& error) {
  rethrow_as("local_response_norm", error);
}

Tensor bilinear(const Tensor& x1, const Tensor& x2, const Tensor& weight, const Tensor& bias) try {
  MP_AUTOCAST(bilinear, x1, x2, weight, bias);
  for (const Tensor* x : {&x1, &x2, &weight}) check_floating("bilinear", *x);
  check_same_dtype("bilinear", {x1, x2, weight, bias});
  if (is_half(x1)) return in_float32(MP_OP(bilinear), x1, x2, weight, bias);
  check_same_device("bilinear", {x1, x2, weight, bias});
  check(weight.dim() == 3 && x1.dim() > 0 && x2.dim() > 0 && x1.size(-1) == weight.size(1) &&
            x2.size(-1) == weight.size(2),
        "bilinear: got shapes ", x1.shape(), " and ", x2.shape(), " for a weight of shape ", weight.shape(),
        "; they must be (..., in1), (..., in2) and (out, in1, in2)");
  check(Shape(x1.shape().begin(), x1.shape().end() - 1) == Shape(x2.shape().begin(), x2.shape().end() - 1),
        "bilinear: got shapes ", x1.shape(), " and ", x2.shape(), "; they may differ in the last dimension");
  check(!bias.defined() || bias.shape() == Shape{weight.size(0)}, "bilinear: bias has shape ",
        bias.defined() ? bias.shape() : Shape{}, "; it must be [", weight.size(0), "]");
  const Tensor y = einsum("...i,oij,...j->...o", {x1, weight, x2});
  return bias.defined() ? y + bias : y;
} catch (const Error& error) {
  rethrow_as("bilinear", error);
}

// --- matrices

Tensor trace(const Tensor& x) try {
  check_defined("trace", x);
  check(x.dim() == 2, "trace: got shape ", x.shape(), "; it must be a matrix");
  return sum(x.diagonal());
} catch (const Error& error) {
  rethrow_as("trace", error);
}

namespace {

/// beta x + alpha product, of any dtype where nothing is scaled.
Tensor added(const char* op, const Tensor& x, const Tensor& product, Scalar beta, Scalar alpha) {
  check_defined(op, x);
  check(broadcast_shapes(op, x.shape(), product.shape()) == product.shape(), op, ": ", x.shape(),
        " does not broadcast to ", product.shape(), ", the shape of the product; reshape it");
  Tensor scaled = alpha.as_double() == 1 ? product : product * alpha;
  if (beta.as_double() == 0) return scaled;
  return (beta.as_double() == 1 ? x : x * beta) + scaled;
}

}  // namespace

Tensor addmv(const Tensor& x, const Tensor& matrix, const Tensor& vector, Scalar beta, Scalar alpha) try {
  MP_AUTOCAST(addmv, x, matrix, vector, beta, alpha);
  check_same_dtype("addmv", {x, matrix, vector});
  if (is_half(x)) return in_float32(MP_OP(addmv), x, matrix, vector, beta, alpha);
  return added("addmv", x, mv(matrix, vector), beta, alpha);
} catch (const Error& error) {
  rethrow_as("addmv", error);
}

Tensor addr(const Tensor& x, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) try {
  MP_AUTOCAST(addr, x, a, b, beta, alpha);
  check_same_dtype("addr", {x, a, b});
  if (is_half(x)) return in_float32(MP_OP(addr), x, a, b, beta, alpha);
  return added("addr", x, outer(a, b), beta, alpha);
} catch (const Error& error) {
  rethrow_as("addr", error);
}

Tensor addbmm(const Tensor& x, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) try {
  MP_AUTOCAST(addbmm, x, a, b, beta, alpha);
  check_same_dtype("addbmm", {x, a, b});
  if (is_half(x)) return in_float32(MP_OP(addbmm), x, a, b, beta, alpha);
  return added("addbmm", x, sum(bmm(a, b), {0}), beta, alpha);
} catch (const Error& error) {
  rethrow_as("addbmm", error);
}

Tensor inner(const Tensor& a, const Tensor& b) try {
  check_defined("inner", a);
  check_defined("inner", b);
  if (a.dim() == 0 || b.dim() == 0) return a * b;
  check(a.size(-1) == b.size(-1), "inner: the last dimensions of ", a.shape(), " and ", b.shape(),
        " differ; sums run over equal sizes");
  return tensordot(a, b, {-1}, {-1});
} catch (const Error& error) {
  rethrow_as("inner", error);
}

Tensor kron(const Tensor& a, const Tensor& b) try {
  check_defined("kron", a);
  check_defined("kron", b);
  Tensor x = a, y = b;
  while (x.dim() < y.dim()) x = x.unsqueeze(0);
  while (y.dim() < x.dim()) y = y.unsqueeze(0);
  check(2 * x.dim() <= kMaxRank, "kron: got shapes ", a.shape(), " and ", b.shape(),
        "; they may have at most ", kMaxRank / 2, " dimensions");
  for (int d = 0; d < y.dim(); d += 2) {
    x = x.unsqueeze(d + 1);
    y = y.unsqueeze(d);
  }
  Tensor z = x * y;
  for (int d = 0; d < z.dim(); ++d) z = z.flatten(d, d + 1);
  return z;
} catch (const Error& error) {
  rethrow_as("kron", error);
}

Tensor vander(const Tensor& x, std::optional<std::int64_t> count) try {
  check_floating("vander", x);
  if (is_half(x)) return in_float32(MP_OP(vander), x, count);
  check(x.dim() == 1, "vander: got shape ", x.shape(), "; it must be a vector");
  const std::int64_t n = count.value_or(x.size(0));
  check(n >= 0, "vander: the number of columns is ", n, "; it must be at least 0");
  std::vector<Tensor> columns{ones_like(x)};
  while (static_cast<std::int64_t>(columns.size()) < n) columns.push_back(columns.back() * x);
  return stack(columns, 1).narrow(1, 0, n).clone();
} catch (const Error& error) {
  rethrow_as("vander", error);
}

namespace {

/// The product of the matrices from `first` to `last`, cut where `cuts` says.
Tensor product_of(const std::vector<Tensor>& matrices, const std::vector<std::vector<std::size_t>>& cuts,
                  std::size_t first, std::size_t last) {
  if (first == last) return matrices[first];
  const std::size_t cut = cuts[first][last];
  return matmul(product_of(matrices, cuts, first, cut), product_of(matrices, cuts, cut + 1, last));
}

/// Where each run of matrices is best cut, by the number of multiplications. (Godbole: "On efficient
/// computation of matrix chain products", 1973.)
std::vector<std::vector<std::size_t>> best_cuts(const std::vector<Tensor>& matrices) {
  const std::size_t n = matrices.size();
  std::vector<std::vector<double>> cost(n, std::vector<double>(n, 0));
  std::vector<std::vector<std::size_t>> cuts(n, std::vector<std::size_t>(n, 0));
  for (std::size_t length = 1; length < n; ++length)
    for (std::size_t first = 0; first + length < n; ++first) {
      const std::size_t last = first + length;
      cost[first][last] = std::numeric_limits<double>::infinity();
      for (std::size_t cut = first; cut < last; ++cut) {
        const double here = cost[first][cut] + cost[cut + 1][last] +
                            static_cast<double>(matrices[first].size(0)) *
                                static_cast<double>(matrices[cut].size(1)) *
                                static_cast<double>(matrices[last].size(1));
        if (here >= cost[first][last]) continue;
        cost[first][last] = here;
        cuts[first][last] = cut;
      }
    }
  return cuts;
}

}  // namespace

Tensor multi_dot(const std::vector<Tensor>& matrices) try {
  MP_AUTOCAST(multi_dot, matrices);
  check(matrices.size() >= 2, "multi_dot: got ", matrices.size(), " matrices; it multiplies at least two");
  std::vector<Tensor> all = matrices;
  for (const Tensor& x : all) check_floating("multi_dot", x);
  for (const Tensor& x : all) check_same_dtype("multi_dot", {all.front(), x});
  if (is_half(all.front())) return in_float32(MP_OP(multi_dot), matrices);
  const bool row = all.front().dim() == 1, column = all.back().dim() == 1;
  if (row) all.front() = all.front().unsqueeze(0);
  if (column) all.back() = all.back().unsqueeze(1);
  for (std::size_t i = 0; i < all.size(); ++i)
    check(
        all[i].dim() == 2 && (i == 0 || all[i - 1].size(1) == all[i].size(0)), "multi_dot: factor ", i,
        " of shape ", matrices[i].shape(),
        " does not fit; factors are matrices, the first and last also vectors, and their inner sizes agree");
  Tensor y = product_of(all, best_cuts(all), 0, all.size() - 1);
  if (column) y = y.squeeze(1);
  return row ? y.squeeze(0) : y;
} catch (const Error& error) {
  rethrow_as("multi_dot", error);
}

}  // namespace miniparallel
