#include "engine/ops/autocast.h"
#include "engine/ops/indexing.h"

// Single elements named by an index of one dimension: gather, scatter and their like. Each index becomes a
// position among all elements, a row of the flattened tensor.

namespace miniparallel {

Tensor positions_of(const char* op, const Shape& whole, int dim, const Tensor& index) {
  const Tensor plain = index.contiguous();
  Shape strides = whole.row_major_strides();
  kernels::PositionArgs args;
  args.op = op;
  args.bound = whole[dim];
  args.stride = strides[dim];
  strides[dim] = 0;
  args.layout = kernels::make_layout(plain.shape(), {strides});
  args.index = raw(plain);
  args.index_dtype = plain.dtype();
  Tensor positions = make_tensor({plain.numel()}, int64, plain.device());
  backend(plain).indexing.positions(args, reinterpret_cast<std::int64_t*>(raw(positions)), stream(plain));
  return positions;
}

namespace {

/// The dimension, once the index is seen to fit the tensor.
int indexed_dim(const char* op, const Tensor& x, int dim, const Tensor& index) {
  check_index(op, x, index);
  check(x.dim() > 0 && index.dim() == x.dim(), op, ": got shape ", x.shape(), " and an index of shape ",
        index.shape(), "; they must have as many dimensions, at least one");
  const int axis = normalize_dim(op, dim, x.dim());
  for (int d = 0; d < x.dim(); ++d)
    check(d == axis || index.size(d) <= x.size(d), op, ": an index of shape ", index.shape(),
          " does not fit shape ", x.shape(), "; outside dim ", axis, " no size may be larger");
  return axis;
}

/// The elements that go to the places of the index.
Tensor sources(const char* op, const Tensor& x, const Tensor& index, const Tensor& source) {
  check_defined(op, source);
  check_same_device(op, {x, source});
  check_same_dtype(op, {x, source});
  check(source.dim() == index.dim(), op, ": the source has shape ", source.shape(), ", the index ",
        index.shape(), "; they must have as many dimensions");
  Tensor part = source;
  for (int d = 0; d < index.dim(); ++d) {
    check(index.size(d) <= source.size(d), op, ": an index of shape ", index.shape(),
          " needs a source that is no ", "smaller; it has shape ", source.shape());
    if (index.size(d) < source.size(d)) part = part.narrow(d, 0, index.size(d));
  }
  return part;
}

/// Of a flattened tensor, by positions that were checked when they were made.
Rows elements(const char* op) { return {op, 0, -1, true}; }

/// Of indices that a forward has checked.
Rows checked(Rows rows) {
  rows.checked = true;
  return rows;
}

/// The elements that an index of dimension `axis` names. Where its sizes before that are those of `whole`,
/// each part there has its own.
struct Elements {
  Rows rows;
  Tensor index;
};

Elements elements(const char* op, const Shape& whole, int axis, const Tensor& index) {
  std::int64_t parts = 1;
  for (int d = 0; d < axis; ++d) parts = index.size(d) == whole[d] ? parts * whole[d] : 0;
  if (parts == 0 || axis + 1 < whole.rank()) return {elements(op), positions_of(op, whole, axis, index)};
  return {{.op = op, .dim = 0, .skip = -1, .parts = parts}, index.contiguous().flatten()};
}

Tensor gathered(const char* op, const Tensor& x, int dim, const Tensor& index) {
  const int axis = indexed_dim(op, x, dim, index);
  const auto [rows, named] = elements(op, x.shape(), axis, index);
  return gather_rows(rows, checked(rows), x.flatten(), named, index.shape());
}

/// Writes the elements of `source` to the positions of `y`, which is contiguous; of equal
/// ones the last counts.
void write_at(const char* op, const Tensor& y, const Tensor& positions, const Tensor& source) {
  const Tensor from = source.contiguous();
  kernels::IndexArgs args;
  args.op = op;
  args.rows = y.numel();
  args.count = positions.numel();
  args.index = raw(positions);
  args.checked = true;
  backend(y).indexing.scatter(y.dtype(), args, raw(from), raw(y), stream(y));
}

/// Zeros of shape `whole` with the elements of `g` at the positions, of which no two are equal.
Tensor put_at(const char* op, const Tensor& g, const Tensor& positions, const Shape& whole) {
  Tensor x = zeros(whole, {.dtype = g.dtype(), .device = g.device()});
  write_at(op, x, positions, g.detach());
  if (recording(g))
    record(op, x, {g}, [op, positions = save(positions), shape = g.shape()](Backward& b) {
      b.set(0, gather_rows(elements(op), elements(op), b.grad().flatten(), positions.get(b), shape));
    });
  return x;
}

/// Whether each of the positions, below `n`, is the last of its equals: the one that counted.
Tensor are_last(const char* op, const Tensor& positions, std::int64_t n) {
  const Tensor numbers = arange(positions.numel(), {.device = positions.device()});
  const Tensor last = make_tensor({n}, int64, positions.device());  // is read only where it is written
  write_at(op, last, positions, numbers);
  return gather_rows(elements(op), elements(op), last, positions, positions.shape()) == numbers;
}

/// The gradient of the elements that were written to the positions. Those that others replaced read the zero
/// after the end.
Tensor gradient_at(const char* op, const Tensor& g, const Tensor& positions, const Shape& shape) {
  const Tensor with_zero = cat({g.flatten(), zeros({1}, {.dtype = g.dtype(), .device = g.device()})});
  const Tensor places = where(are_last(op, positions, g.numel()), positions, g.numel());
  return gather_rows(elements(op), elements(op), with_zero, places, shape);
}

/// `x` with the elements of `source` at the positions, where of equal ones the last counts.
Tensor replaced(const char* op, const Tensor& x, const Tensor& positions, const Tensor& source) {
  Tensor y = x.detach().clone();
  write_at(op, y, positions, source.detach());
  if (recording(x, source))
    record(op, y, {x, source}, [op, positions = save(positions), shape = source.shape()](Backward& b) {
      const Tensor at = positions.get(b), g = b.grad();
      if (b.needs(0)) b.set(0, replaced(op, g, at, zeros(shape, {.dtype = g.dtype(), .device = g.device()})));
      if (b.needs(1)) b.set(1, gradient_at(op, g, at, shape));
    });
  return y;
}

Tensor replaced_along(const char* op, const Tensor& x, int dim, const Tensor& index, const Tensor& source) {
  const int axis = indexed_dim(op, x, dim, index);
  return replaced(op, x, positions_of(op, x.shape(), axis, index), sources(op, x, index, source));
}
Tensor replaced_along(const char* op, const Tensor& x, int dim, const Tensor& index, Scalar value) {
  check_index(op, x, index);
  return replaced_along(
      op, x, dim, index,
      make_full(op, {}, value, {.dtype = x.dtype(), .device = x.device()}).expand(index.shape()));
}

Tensor added_along(const char* op, const Tensor& x, int dim, const Tensor& index, const Tensor& source) {
  check_floating(op, x);
  const int axis = indexed_dim(op, x, dim, index);
  const Tensor part = sources(op, x, index, source);
  if (is_half(x)) return in_float32(added_along, op, x, dim, index, source);
  const auto [rows, named] = elements(op, x.shape(), axis, index);
  return add_rows(rows, x.flatten(), part.flatten(), named).view(x.shape());
}

}  // namespace

Tensor gather_once(const Tensor& x, int dim, const Tensor& index) {
  const char* const op = "gather";
  const int axis = indexed_dim(op, x, dim, index);
  const Tensor positions = positions_of(op, x.shape(), axis, index);
  Tensor y = gather_rows(elements(op), elements(op), x.detach().flatten(), positions, index.shape());
  if (recording(x))
    record(op, y, {x}, [op, positions = save(positions), whole = x.shape()](Backward& b) {
      b.set(0, put_at(op, b.grad(), positions.get(b), whole));
    });
  return y;
}

Tensor gather(const Tensor& x, int dim, const Tensor& index) { return gathered("gather", x, dim, index); }

Tensor take_along_dim(const Tensor& x, const Tensor& index, int dim) {
  check_index("take_along_dim", x, index);
  check(x.dim() > 0 && index.dim() == x.dim(), "take_along_dim: got shape ", x.shape(),
        " and an index of shape ", index.shape(), "; they must have as many dimensions, at least one");
  const int axis = normalize_dim("take_along_dim", dim, x.dim());
  Shape of_x = x.shape(), of_index = index.shape();
  of_x[axis] = of_index[axis] = 1;
  const Shape common = broadcast_shapes("take_along_dim", of_x, of_index);
  const auto stretched = [&](const Tensor& tensor) {
    Shape shape = common;
    shape[axis] = tensor.size(axis);
    return tensor.expand(shape);
  };
  return gathered("take_along_dim", stretched(x), axis, stretched(index));
}

Tensor scatter(const Tensor& x, int dim, const Tensor& index, const Tensor& source) {
  return replaced_along("scatter", x, dim, index, source);
}
Tensor scatter(const Tensor& x, int dim, const Tensor& index, Scalar value) {
  return replaced_along("scatter", x, dim, index, value);
}
Tensor scatter_add(const Tensor& x, int dim, const Tensor& index, const Tensor& source) {
  MP_AUTOCAST(scatter_add, x, dim, index, source);
  return added_along("scatter_add", x, dim, index, source);
}

Tensor& Tensor::scatter_(int dim, const Tensor& index, const Tensor& source) {
  return copy_into("scatter_", *this, replaced_along("scatter_", *this, dim, index, source));
}
Tensor& Tensor::scatter_(int dim, const Tensor& index, Scalar value) {
  return copy_into("scatter_", *this, replaced_along("scatter_", *this, dim, index, value));
}
Tensor& Tensor::scatter_add_(int dim, const Tensor& index, const Tensor& source) {
  return copy_into("scatter_add_", *this, added_along("scatter_add_", *this, dim, index, source));
}

}  // namespace miniparallel
