#include "engine/ops/autocast.h"
#include "engine/ops/common.h"

#include <algorithm>

// Matrix products of operands with certain dimensions, and sums with them.

namespace miniparallel {
namespace {

void check_dims(const char* op, const Tensor& x, int dims, const char* what) {
  check_defined(op, x);
  check(x.dim() == dims, op, ": got shape ", x.shape(), "; it must be ", what, ", use matmul for others");
}

Tensor stacks_product(const char* op, const Tensor& a, const Tensor& b) try {
  for (const Tensor* x : {&a, &b}) check_dims(op, *x, 3, "(count, rows, columns)");
  check(a.size(0) == b.size(0), op, ": ", a.shape(), " and ", b.shape(),
        " are stacks of different sizes; they must be equal, matmul broadcasts");
  return matmul(a, b);
} catch (const Error& error) {
  rethrow_as(op, error);
}

Tensor matrix_product(const char* op, const Tensor& a, const Tensor& b) try {
  for (const Tensor* x : {&a, &b}) check_dims(op, *x, 2, "a matrix");
  return matmul(a, b);
} catch (const Error& error) {
  rethrow_as(op, error);
}

/// Whether beta x + alpha a b adds the same row to every row: then one call of a library does it all.
bool is_biased_product(const Tensor& x, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) {
  return beta.as_double() == 1 && alpha.as_double() == 1 && a.dim() == 2 && b.dim() == 2 &&
         a.size(1) == b.size(0) && x.dim() == 1 && x.size(0) == b.size(1);
}

/// beta x + alpha product
Tensor added(const char* op, const Tensor& x, const Tensor& product, Scalar beta, Scalar alpha) try {
  check_floating(op, x);
  check(broadcast_shapes(op, x.shape(), product.shape()) == product.shape(), op, ": ", x.shape(),
        " does not broadcast to ", product.shape(), ", the shape of the product; reshape it");
  Tensor scaled = alpha.as_double() == 1 ? product : product * alpha;
  if (beta.as_double() == 0) return scaled;
  return (beta.as_double() == 1 ? x : x * beta) + scaled;
} catch (const Error& error) {
  rethrow_as(op, error);
}

}  // namespace

Tensor mm(const Tensor& a, const Tensor& b) { return matrix_product("mm", a, b); }
Tensor bmm(const Tensor& a, const Tensor& b) { return stacks_product("bmm", a, b); }

Tensor mv(const Tensor& matrix, const Tensor& vector) try {
  check_dims("mv", matrix, 2, "a matrix");
  check_dims("mv", vector, 1, "a vector");
  return matmul(matrix, vector);
} catch (const Error& error) {
  rethrow_as("mv", error);
}

Tensor dot(const Tensor& a, const Tensor& b) try {
  MP_AUTOCAST(dot, a, b);
  for (const Tensor* x : {&a, &b}) check_dims("dot", *x, 1, "a vector");
  return matmul(a, b);
} catch (const Error& error) {
  rethrow_as("dot", error);
}

Tensor outer(const Tensor& a, const Tensor& b) try {
  for (const Tensor* x : {&a, &b}) check_dims("outer", *x, 1, "a vector");
  return a.unsqueeze(1) * b;
} catch (const Error& error) {
  rethrow_as("outer", error);
}

Tensor addmm(const Tensor& x, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) try {
  MP_AUTOCAST(addmm, x, a, b, beta, alpha);
  check_same_dtype("addmm", {x, a, b});
  if (is_biased_product(x, a, b, beta, alpha)) return linear(a, b.t(), x);
  if (is_half(x)) return in_float32(MP_OP(addmm), x, a, b, beta, alpha);
  return added("addmm", x, matrix_product("addmm", a, b), beta, alpha);
} catch (const Error& error) {
  rethrow_as("addmm", error);
}
Tensor baddbmm(const Tensor& x, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) {
  MP_AUTOCAST(baddbmm, x, a, b, beta, alpha);
  check_same_dtype("baddbmm", {x, a, b});
  if (is_half(x)) return in_float32(MP_OP(baddbmm), x, a, b, beta, alpha);
  return added("baddbmm", x, stacks_product("baddbmm", a, b), beta, alpha);
}

// --- over any dimensions

namespace {

/// An operand as a matrix: the dimensions that are summed last, or first, the others in their order.
struct Summands {
  Tensor matrix;
  Shape others;

  Summands(const Tensor& x, const Shape& dims, bool last) {
    Shape order;
    std::int64_t terms = 1;
    bool summed[kMaxRank] = {};
    for (const std::int64_t dim : dims) {
      const int d = normalize_dim("tensordot", dim, x.dim());
      check(!summed[d], "tensordot: dimension ", d, " is named twice in ", dims, "; name it once");
      summed[d] = true;
      terms *= x.size(d);
      if (!last) order.push_back(d);
    }
    for (int d = 0; d < x.dim(); ++d) {
      if (summed[d]) continue;
      order.push_back(d);
      others.push_back(x.size(d));
    }
    if (last)
      for (const std::int64_t dim : dims) order.push_back(dim);
    const std::int64_t rest = others.numel();
    matrix = x.permute(order).reshape(last ? Shape{rest, terms} : Shape{terms, rest});
  }
};

}  // namespace

Tensor tensordot(const Tensor& a, const Tensor& b, const Shape& dims_a, const Shape& dims_b) try {
  MP_AUTOCAST(tensordot, a, b, dims_a, dims_b);
  check_floating("tensordot", a);
  check_floating("tensordot", b);
  check(dims_a.rank() == dims_b.rank(), "tensordot: got dims ", dims_a, " and ", dims_b,
        "; name as many of both operands");
  for (int i = 0; i < dims_a.rank(); ++i) {
    const int p = normalize_dim("tensordot", dims_a[i], a.dim());
    const int q = normalize_dim("tensordot", dims_b[i], b.dim());
    check(a.size(p) == b.size(q), "tensordot: dimension ", p, " of ", a.shape(), " and ", q, " of ",
          b.shape(), " differ; sums run over equal sizes");
  }
  const Summands left(a, dims_a, true), right(b, dims_b, false);
  Shape shape = left.others;
  for (const std::int64_t size : right.others) shape.push_back(size);
  return matmul(left.matrix, right.matrix).reshape(shape);
} catch (const Error& error) {
  rethrow_as("tensordot", error);
}

Tensor tensordot(const Tensor& a, const Tensor& b, int dims) {
  check_defined("tensordot", a);
  check_defined("tensordot", b);
  check(dims >= 0 && dims <= std::min(a.dim(), b.dim()), "tensordot: got ", dims, " dimensions for ",
        a.shape(), " and ", b.shape(), "; both must have as many");
  Shape last, first;
  for (int d = 0; d < dims; ++d) {
    last.push_back(a.dim() - dims + d);
    first.push_back(d);
  }
  return tensordot(a, b, last, first);
}

}  // namespace miniparallel
