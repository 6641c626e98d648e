#include <miniparallel/index.h>

#include "engine/ops/half.h"
#include "engine/ops/indexing.h"

#include <algorithm>

// NumPy's x[...]: a view by numbers and ranges, then rows that indices and masks name.

namespace miniparallel {
namespace {

/// x after its numbers, ranges and new dimensions, with the indices that are left, each of a dimension.
struct Indexing {
  Tensor view;
  std::vector<int> dims;
  std::vector<Tensor> indices;
};

/// How many of x's dimensions it stands for.
int consumed(const Index& index) {
  switch (index.kind()) {
    case Index::Kind::rest:
    case Index::Kind::added:
      return 0;
    case Index::Kind::tensor:
      return index.tensor().defined() && index.tensor().dtype() == boolean ? index.tensor().dim() : 1;
    default:
      return 1;
  }
}

/// The places of the true elements, a tensor for each dimension of the mask.
std::vector<Tensor> places_of(const char* op, const Tensor& x, int dim, const Tensor& mask) {
  for (int d = 0; d < mask.dim(); ++d)
    check(mask.size(d) == x.size(dim + d), op, ": a mask of ", mask.shape(), " at dimension ", dim, " of ",
          x.shape(), "; its sizes must be those of the tensor");
  check(mask.dim() > 0, op, ": a mask without dimensions; use where, or unsqueeze both");
  return nonzero(mask).unbind(1);
}

Indexing indexing_of(const char* op, const Tensor& x, const std::vector<Index>& indices) {
  check_defined(op, x);
  int used = 0, ellipses = 0;
  for (const Index& index : indices) {
    used += consumed(index);
    ellipses += index.kind() == Index::Kind::rest ? 1 : 0;
  }
  check(ellipses <= 1, op, ": got ", ellipses, " ellipses; one stands for all dimensions that are left");
  check(used <= x.dim(), op, ": got indices for ", used, " dimensions of ", x.shape(), ", which has ",
        x.dim());
  Indexing result{x, {}, {}};
  int dim = 0;  // of the view
  for (const Index& index : indices) {
    switch (index.kind()) {
      case Index::Kind::number:
        result.view = result.view.select(dim, index.number());
        break;
      case Index::Kind::range: {
        const Range& range = index.range();
        result.view = result.view.slice(dim++, range.start, range.stop, range.step);
        break;
      }
      case Index::Kind::added:
        result.view = result.view.unsqueeze(dim++);
        break;
      case Index::Kind::rest:
        dim += x.dim() - used;
        break;
      case Index::Kind::tensor: {
        const Tensor& tensor = index.tensor();
        check_defined(op, tensor);
        check_same_device(op, {x, tensor});
        if (tensor.dtype() == boolean) {
          for (const Tensor& places : places_of(op, result.view, dim, tensor)) {
            result.indices.push_back(places);
            result.dims.push_back(dim++);
          }
        } else {
          check_index(op, x, tensor);
          result.indices.push_back(tensor);
          result.dims.push_back(dim++);
        }
        break;
      }
    }
  }
  return result;
}

/// The view with its indexed dimensions as one, and which of that one's rows the indices name.
struct Picked {
  Tensor rows;   ///< the view, whose dimensions are in `order`, those that are indexed as one
  int dim = 0;   ///< that one
  Shape order;   ///< of the view's dimensions
  Tensor index;  ///< one dimension
  Shape shape;   ///< of x[...]
};

Picked picked_by(const char* op, const Indexing& indexing) {
  const Tensor& view = indexing.view;
  const std::vector<int>& dims = indexing.dims;
  const int count = static_cast<int>(dims.size());
  const bool neighbours = dims.back() - dims.front() == count - 1;
  Picked result;
  result.dim = neighbours ? dims.front() : 0;
  for (int d = 0; d < view.dim(); ++d) {
    if (d == result.dim)
      for (const int indexed : dims) result.order.push_back(indexed);
    if (!std::ranges::count(dims, d)) result.order.push_back(d);
  }
  Shape common;
  for (const Tensor& index : indexing.indices) common = broadcast_shapes(op, common, index.shape());
  Tensor row;
  for (int i = 0; i < count; ++i) {
    const std::int64_t size = view.size(dims[static_cast<std::size_t>(i)]);
    const Tensor& given = indexing.indices[static_cast<std::size_t>(i)];
    const Tensor wrapped = where(given < 0, given + size, given).expand(common).contiguous();
    const Tensor checked = positions_of(op, {size}, 0, wrapped.flatten());
    row = i == 0 ? checked : row * size + checked;
  }
  result.index = row;
  const Tensor ordered = view.permute(result.order);
  result.rows = count == 1 ? ordered : ordered.flatten(result.dim, result.dim + count - 1);
  result.shape = ordered.shape();
  for (int i = 0; i < count; ++i) result.shape.erase(result.dim);
  for (int i = 0; i < common.rank(); ++i) result.shape.insert(result.dim + i, common[i]);
  return result;
}

/// `values`, which broadcast to x[...], as rows of `picked.rows`.
Tensor rows_of(const char* op, const Picked& picked, const Tensor& values) {
  check(broadcast_shapes(op, values.shape(), picked.shape) == picked.shape, op, ": values of ",
        values.shape(), " do not broadcast to ", picked.shape, ", the shape of what is indexed");
  Shape shape = picked.rows.shape();
  shape[picked.dim] = picked.index.numel();
  return values.to(picked.rows.device(), picked.rows.dtype()).expand(picked.shape).reshape(shape);
}

/// A mask alone, whose one value goes to where it is true: nothing depends on how often.
bool fills_mask(const std::vector<Index>& indices, const Tensor& values, bool accumulate) {
  return !accumulate && indices.size() == 1 && indices[0].kind() == Index::Kind::tensor &&
         indices[0].tensor().defined() && indices[0].tensor().dtype() == boolean && values.numel() == 1;
}

void fill_mask(const char* op, Tensor& x, const Tensor& mask, const Tensor& values) {
  check(mask.dim() <= x.dim(), op, ": a mask of ", mask.shape(), " has more dimensions than ", x.shape());
  for (int d = 0; d < mask.dim(); ++d)
    check(mask.size(d) == x.size(d), op, ": a mask of ", mask.shape(), " for ", x.shape(),
          "; its sizes must be those of the tensor");
  Shape shape = Shape::filled(x.dim(), 1);
  std::copy(mask.shape().begin(), mask.shape().end(), shape.begin());
  copy_into(op, x, where(mask.reshape(shape), values.to(x.device(), x.dtype()).reshape({}), x));
}

void put(const char* op, Tensor& x, const std::vector<Index>& indices, const Tensor& values,
         bool accumulate) {
  check_defined(op, x);
  check_defined(op, values);
  if (fills_mask(indices, values, accumulate)) return fill_mask(op, x, indices[0].tensor(), values);
  const Indexing indexing = indexing_of(op, x, indices);
  Tensor view = indexing.view;
  if (indexing.indices.empty()) {
    copy_into(op, view, accumulate ? view + values : values);
    return;
  }
  const Picked picked = picked_by(op, indexing);
  const Tensor rows = rows_of(op, picked, values);
  const Tensor written = accumulate ? index_add(picked.rows, picked.dim, picked.index, rows)
                                    : index_copy(picked.rows, picked.dim, picked.index, rows);
  Tensor ordered = view.permute(picked.order);
  copy_into(op, ordered, written.reshape(ordered.shape()));
}

}  // namespace

Tensor index(const Tensor& x, const std::vector<Index>& indices) try {
  const Indexing indexing = indexing_of("index", x, indices);
  if (indexing.indices.empty()) return indexing.view;
  const Picked picked = picked_by("index", indexing);
  const Rows rows{"index", picked.dim, -1};
  return gather_rows(rows, rows, picked.rows, picked.index, picked.shape);
} catch (const Error& error) {
  rethrow_as("index", error);
}

Tensor index_put(const Tensor& x, const std::vector<Index>& indices, const Tensor& values,
                 bool accumulate) try {
  check_defined("index_put", x);
  Tensor y = x.clone();
  put("index_put", y, indices, values, accumulate);
  return y;
} catch (const Error& error) {
  rethrow_as("index_put", error);
}

Tensor& Tensor::index_put_(const std::vector<Index>& indices, const Tensor& values, bool accumulate) try {
  put("index_put_", *this, indices, values, accumulate);
  return *this;
} catch (const Error& error) {
  rethrow_as("index_put_", error);
}

Tensor& Tensor::index_put_(const std::vector<Index>& indices, Scalar value, bool accumulate) try {
  check_defined("index_put_", *this);
  put("index_put_", *this, indices,
      make_full("index_put_", {}, value, {.dtype = dtype(), .device = device()}), accumulate);
  return *this;
} catch (const Error& error) {
  rethrow_as("index_put_", error);
}

Tensor Tensor::index(const std::vector<Index>& indices) const { return miniparallel::index(*this, indices); }
Tensor Tensor::index_put(const std::vector<Index>& indices, const Tensor& values, bool accumulate) const {
  return miniparallel::index_put(*this, indices, values, accumulate);
}
Tensor Tensor::operator[](const Index& index) const { return miniparallel::index(*this, {index}); }
Tensor Tensor::operator[](std::initializer_list<Index> indices) const {
  return miniparallel::index(*this, indices);
}

}  // namespace miniparallel
