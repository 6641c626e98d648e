#pragma once

#include "engine/ops/common.h"
#include "engine/ops/in_place.h"

/// Rows of a tensor that an index names.

namespace miniparallel {

/// Which rows of which dimension; the others: see kernels::IndexArgs.
struct Rows {
  const char* op;
  int dim;
  std::int64_t skip;
  bool checked = false;
  std::int64_t parts = 1;
};

/// The rows of `x` that `index`, int64 or int32 and contiguous, names, with the result's shape. `gradient`:
/// the rows that the gradient goes to; they differ from `rows` in what they skip.
Tensor gather_rows(const Rows& rows, const Rows& gradient, const Tensor& x, const Tensor& index,
                   const Shape& shape);

/// The elements along dimension `dim` that the index names, each at most once: `gather`, whose gradient need
/// not be added up.
Tensor gather_once(const Tensor& x, int dim, const Tensor& index);

/// Zeros of shape `whole` to which rows of `g` are added.
Tensor scatter_rows(const Rows& rows, const Tensor& g, const Tensor& index, const Shape& whole);

/// Zeros of shape `whole`, (rows, width), to which each index adds a row of g, (n, width), times its factor
/// where these are defined: the first indices the first row and so on, as many each. Not recorded.
Tensor scatter_bags(const Rows& rows, const Tensor& g, const Tensor& index, const Tensor& factors,
                    const Shape& whole);

/// `x` with rows of `source` added.
Tensor add_rows(const Rows& rows, const Tensor& x, const Tensor& source, const Tensor& index);

/// One more than the greatest element of `x`, integers: the size that makes each of them an index; 0 for
/// none. Waits for the device. Throws, naming `op`, where there is no such size.
std::int64_t bound_of(const char* op, const Tensor& x);

/// Throws unless both are on one device and the index is int64 or int32.
void check_index(const char* op, const Tensor& x, const Tensor& index);

/// Which element of a contiguous tensor of this shape each index of dimension `dim` names: int64, of one
/// dimension.
Tensor positions_of(const char* op, const Shape& whole, int dim, const Tensor& index);

}  // namespace miniparallel
