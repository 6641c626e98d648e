#include "engine/autograd/view_history.h"
#include "engine/ops/common.h"

#include <algorithm>
#include <cstdint>

// Diagonals and triangles of matrices.

namespace miniparallel {

Tensor Tensor::diagonal(std::int64_t offset, int dim1, int dim2) const {
  check_defined("diagonal", *this);
  become_row_major(*this);
  check(dim() >= 2, "diagonal: got shape ", shape(),
        "; it takes at least 2 dimensions, or make a matrix with diag");
  const int rows = normalize_dim("diagonal", dim1, dim()), columns = normalize_dim("diagonal", dim2, dim());
  check(rows != columns, "diagonal: dim1 and dim2 are both ", rows, "; name two dimensions");
  // Below the main diagonal `up` is negative: -offset need not fit.
  const std::int64_t up = std::min<std::int64_t>(offset, 0), right = std::max<std::int64_t>(offset, 0);
  const std::int64_t length =
      std::max<std::int64_t>(std::min(shape()[rows] + up, shape()[columns] - right), 0);
  const auto geometry_in = [=](const Shape& whole, const Shape& strides) {
    Shape sizes, steps;
    for (int d = 0; d < whole.rank(); ++d) {
      if (d == rows || d == columns) continue;
      sizes.push_back(whole[d]);
      steps.push_back(strides[d]);
    }
    sizes.push_back(length);
    steps.push_back(strides[rows] + strides[columns]);
    const std::int64_t first = length == 0 ? 0 : right * strides[columns] - up * strides[rows];
    return autograd::ViewGeometry{sizes, steps, first};
  };
  const autograd::ViewGeometry here = geometry_in(shape(), strides());
  return autograd::record_view("diagonal", *this, here.shape, here.strides, impl()->offset + here.offset,
                               [geometry_in, from = shape()](const Tensor& g) {
                                 return autograd::paste(g, from, geometry_in(from, from.row_major_strides()));
                               });
}

Tensor diag(const Tensor& x, std::int64_t diagonal) {
  check_defined("diag", x);
  check(x.dim() == 1 || x.dim() == 2, "diag: got shape ", x.shape(), "; it takes a vector or a matrix");
  if (x.dim() == 2) return x.diagonal(diagonal).clone();
  constexpr std::uint64_t most = 3'037'000'499;  // rows of a square whose elements are counted in 63 bits
  const auto distance = static_cast<std::uint64_t>(diagonal), size = static_cast<std::uint64_t>(x.size(0));
  const std::uint64_t all = size + (diagonal < 0 ? 0 - distance : distance);
  check(all <= most, "diag: ", x.shape(), " on diagonal ", diagonal, " makes a matrix of ", all,
        " rows, whose number of elements does not fit 63 bits; choose a diagonal nearer to 0");
  const auto n = static_cast<std::int64_t>(all);
  const std::int64_t first = diagonal < 0 ? -diagonal * n : diagonal;
  return autograd::paste(x, {n, n}, {x.shape(), {n + 1}, x.size(0) == 0 ? 0 : first});
}

namespace {

/// x where the column, compared with row + `diagonal`, is as asked for, else 0.
Tensor triangle(const char* op, const Tensor& x, std::int64_t diagonal,
                Tensor (*holds)(const Tensor&, const Tensor&)) try {
  check_defined(op, x);
  check(x.dim() >= 2, op, ": got shape ", x.shape(), "; it takes at least 2 dimensions");
  const TensorOptions options{.dtype = int64, .device = x.device()};
  const std::int64_t rows = x.size(-2), first = std::clamp(diagonal, -rows, x.size(-1));
  const Tensor edges = arange(first, first + rows, 1, options).unsqueeze(1);
  return where(holds(arange(x.size(-1), options), edges), x,
               zeros({}, {.dtype = x.dtype(), .device = x.device()}));
} catch (const Error& error) {
  rethrow_as(op, error);
}

}  // namespace

Tensor tril(const Tensor& x, std::int64_t diagonal) { return triangle("tril", x, diagonal, le); }
Tensor triu(const Tensor& x, std::int64_t diagonal) { return triangle("triu", x, diagonal, ge); }

}  // namespace miniparallel
