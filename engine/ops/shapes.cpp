#include "engine/autograd/view_history.h"
#include "engine/ops/common.h"
#include "engine/ops/indexing.h"
#include "engine/ops/split.h"

#include <algorithm>

// Shapes by other names, parts put back in their place, and what is made of diagonals and windows.

namespace miniparallel {

// --- views

Tensor Tensor::expand_as(const Tensor& other) const try {
  return expand(other.shape());
} catch (const Error& error) {
  rethrow_as("expand_as", error);
}

Tensor Tensor::broadcast_to(const Shape& shape) const try {
  return expand(shape);
} catch (const Error& error) {
  rethrow_as("broadcast_to", error);
}

Tensor Tensor::view_as(const Tensor& other) const try {
  return view(other.shape());
} catch (const Error& error) {
  rethrow_as("view_as", error);
}

Tensor Tensor::reshape_as(const Tensor& other) const try {
  return reshape(other.shape());
} catch (const Error& error) {
  rethrow_as("reshape_as", error);
}

Tensor Tensor::ravel() const try { return flatten(); } catch (const Error& error) {
  rethrow_as("ravel", error);
}

Tensor Tensor::unflatten(int dim, const Shape& sizes) const try {
  check_defined("unflatten", *this);
  check(this->dim() > 0 && !sizes.empty(), "unflatten: got shape ", shape(), " and the sizes ", sizes,
        "; both must have a dimension");
  const int d = normalize_dim("unflatten", dim, this->dim());
  std::int64_t known = 1;
  int unknown = -1;
  for (int i = 0; i < sizes.rank(); ++i) {
    check(sizes[i] >= 0 || (sizes[i] == -1 && unknown < 0), "unflatten: got the sizes ", sizes,
          "; each must be at least 0, one of them may be -1");
    if (sizes[i] < 0)
      unknown = i;
    else
      known *= sizes[i];
  }
  Shape whole = sizes;
  if (unknown >= 0 && known > 0) whole[unknown] = size(d) / known;
  check(whole.numel() == size(d) && (unknown < 0 || known > 0), "unflatten: the sizes ", sizes,
        " do not multiply to ", size(d), ", that of dimension ", d, " of ", shape());
  Shape result = shape();
  result.erase(d);
  for (int i = 0; i < whole.rank(); ++i) result.insert(d + i, whole[i]);
  return reshape(result);
} catch (const Error& error) {
  rethrow_as("unflatten", error);
}

std::vector<Tensor> Tensor::tensor_split(std::int64_t sections, int dim) const try {
  check_defined("tensor_split", *this);
  check(this->dim() > 0 && sections > 0, "tensor_split: got shape ", shape(), " and ", sections,
        " sections; there must be a dimension, and at least one section");
  const int d = normalize_dim("tensor_split", dim, this->dim());
  const std::int64_t each = size(d) / sections, longer = size(d) % sections;
  std::vector<std::int64_t> sizes;
  for (std::int64_t i = 0; i < sections; ++i) sizes.push_back(each + (i < longer ? 1 : 0));
  return split_whole(*this, sizes, d);
} catch (const Error& error) {
  rethrow_as("tensor_split", error);
}

Tensor atleast_1d(const Tensor& x) {
  check_defined("atleast_1d", x);
  return x.dim() == 0 ? x.unsqueeze(0) : x;
}

Tensor atleast_2d(const Tensor& x) {
  check_defined("atleast_2d", x);
  return x.dim() < 2 ? atleast_1d(x).unsqueeze(0) : x;
}

Tensor atleast_3d(const Tensor& x) {
  check_defined("atleast_3d", x);
  return x.dim() < 3 ? atleast_2d(x).unsqueeze(-1) : x;
}

namespace {

std::vector<Tensor> parts(const char* op, const Tensor& x, std::int64_t sections, int least, int dim) {
  check_defined(op, x);
  check(x.dim() >= least, op, ": got shape ", x.shape(), "; it takes at least ", least, " dimensions");
  check(sections > 0 && x.size(dim) % sections == 0, op, ": ", sections, " sections do not divide dimension ",
        dim, " of ", x.shape(), "; use tensor_split for parts of different sizes");
  return x.tensor_split(sections, dim);
}

}  // namespace

std::vector<Tensor> hsplit(const Tensor& x, std::int64_t sections) {
  check_defined("hsplit", x);
  return parts("hsplit", x, sections, 1, x.dim() == 1 ? 0 : 1);
}
std::vector<Tensor> vsplit(const Tensor& x, std::int64_t sections) {
  return parts("vsplit", x, sections, 2, 0);
}
std::vector<Tensor> dsplit(const Tensor& x, std::int64_t sections) {
  return parts("dsplit", x, sections, 3, 2);
}

std::vector<Tensor> broadcast_tensors(const std::vector<Tensor>& tensors) try {
  Shape shape;
  for (const Tensor& tensor : tensors) {
    check_defined("broadcast_tensors", tensor);
    shape = broadcast_shapes("broadcast_tensors", shape, tensor.shape());
  }
  std::vector<Tensor> all;
  for (const Tensor& tensor : tensors) all.push_back(tensor.expand(shape));
  return all;
} catch (const Error& error) {
  rethrow_as("broadcast_tensors", error);
}

// --- joined

Tensor dstack(const std::vector<Tensor>& tensors) try {
  std::vector<Tensor> deep;
  for (const Tensor& tensor : tensors) deep.push_back(atleast_3d(tensor));
  return cat(deep, 2);
} catch (const Error& error) {
  rethrow_as("dstack", error);
}

Tensor column_stack(const std::vector<Tensor>& tensors) try {
  std::vector<Tensor> columns;
  for (const Tensor& tensor : tensors) {
    check_defined("column_stack", tensor);
    columns.push_back(tensor.dim() < 2 ? tensor.reshape({tensor.numel(), 1}) : tensor);
  }
  return cat(columns, 1);
} catch (const Error& error) {
  rethrow_as("column_stack", error);
}

Tensor block_diag(const std::vector<Tensor>& matrices) try {
  check(!matrices.empty(), "block_diag: got no matrices; it needs at least one");
  std::int64_t columns = 0, before = 0;
  for (const Tensor& matrix : matrices) {
    check_defined("block_diag", matrix);
    check(matrix.dim() <= 2, "block_diag: got shape ", matrix.shape(), "; it takes at most 2 dimensions");
    columns += atleast_2d(matrix).size(1);
  }
  std::vector<Tensor> rows;
  for (const Tensor& matrix : matrices) {
    const Tensor block = atleast_2d(matrix);
    rows.push_back(pad(block, {before, columns - before - block.size(1)}));
    before += block.size(1);
  }
  return cat(rows, 0);
} catch (const Error& error) {
  rethrow_as("block_diag", error);
}

Tensor cartesian_prod(const std::vector<Tensor>& vectors) try {
  for (const Tensor& vector : vectors) {
    check_defined("cartesian_prod", vector);
    check(vector.dim() == 1, "cartesian_prod: got shape ", vector.shape(), "; it takes vectors");
  }
  check(!vectors.empty(), "cartesian_prod: got no vectors; it needs at least one");
  if (vectors.size() == 1) return vectors[0].clone();
  const std::vector<Tensor> grids = meshgrid(vectors);
  std::vector<Tensor> columns;
  for (const Tensor& grid : grids) columns.push_back(grid.flatten());
  return stack(columns, 1);
} catch (const Error& error) {
  rethrow_as("cartesian_prod", error);
}

// --- turned

Tensor fliplr(const Tensor& x) try {
  check_defined("fliplr", x);
  check(x.dim() >= 2, "fliplr: got shape ", x.shape(), "; it takes at least 2 dimensions");
  return flip(x, {1});
} catch (const Error& error) {
  rethrow_as("fliplr", error);
}

Tensor flipud(const Tensor& x) try {
  check_defined("flipud", x);
  check(x.dim() >= 1, "flipud: got a number; it takes at least 1 dimension");
  return flip(x, {0});
} catch (const Error& error) {
  rethrow_as("flipud", error);
}

Tensor rot90(const Tensor& x, std::int64_t k, const Shape& dims) try {
  check_defined("rot90", x);
  check(x.dim() >= 2 && dims.rank() == 2, "rot90: got shape ", x.shape(), " and dims ", dims,
        "; it turns two dimensions of at least two");
  const int from = normalize_dim("rot90", dims[0], x.dim()), to = normalize_dim("rot90", dims[1], x.dim());
  check(from != to, "rot90: both dims are ", from, "; name two dimensions");
  switch ((k % 4 + 4) % 4) {
    case 1:
      return flip(x, {to}).transpose(from, to);
    case 2:
      return flip(x, {from, to});
    case 3:
      return flip(x, {from}).transpose(from, to);
    default:
      return x.clone();
  }
} catch (const Error& error) {
  rethrow_as("rot90", error);
}

// --- diagonals and triangles

Tensor diag_embed(const Tensor& x, std::int64_t offset, int dim1, int dim2) try {
  check_defined("diag_embed", x);
  check(x.dim() >= 1, "diag_embed: got a number; it takes at least 1 dimension");
  const int rank = x.dim() + 1;
  const int rows = normalize_dim("diag_embed", dim1, rank), columns = normalize_dim("diag_embed", dim2, rank);
  check(rows != columns, "diag_embed: dim1 and dim2 are both ", rows, "; name two dimensions");
  const std::int64_t n = x.size(-1), before = std::max<std::int64_t>(offset, 0),
                     after = std::max<std::int64_t>(-offset, 0);
  check(std::max(before, after) < (std::int64_t{1} << 31) && n < (std::int64_t{1} << 31),
        "diag_embed: ", x.shape(), " on diagonal ", offset,
        " makes too large a matrix; choose a diagonal nearer to 0");
  const std::int64_t size = n + before + after;
  Shape shape(x.shape().begin(), x.shape().end() - 1);
  shape.insert(std::min(rows, columns), size);
  shape.insert(std::max(rows, columns), size);
  const Shape strides = shape.row_major_strides();
  Shape steps;
  for (int d = 0; d < rank; ++d)
    if (d != rows && d != columns) steps.push_back(strides[d]);
  steps.push_back(strides[rows] + strides[columns]);
  const std::int64_t first = n == 0 ? 0 : before * strides[columns] + after * strides[rows];
  return autograd::paste(x, shape, {x.shape(), steps, first});
} catch (const Error& error) {
  rethrow_as("diag_embed", error);
}

Tensor diagflat(const Tensor& x, std::int64_t offset) try {
  return diag(x.flatten(), offset);
} catch (const Error& error) {
  rethrow_as("diagflat", error);
}

namespace {

Tensor triangle_indices(const char* op, std::int64_t rows, std::int64_t columns, std::int64_t offset,
                        const TensorOptions& options, Tensor (*holds)(const Tensor&, Scalar)) try {
  check(rows >= 0 && columns >= 0, op, ": got ", rows, " rows and ", columns,
        " columns; both must be at least 0");
  const TensorOptions counting{.dtype = int64, .device = options.device};
  const Tensor distance = arange(columns, counting) - arange(rows, counting).unsqueeze(1);
  return nonzero(holds(distance, offset)).t().contiguous().to(options.dtype.value_or(int64));
} catch (const Error& error) {
  rethrow_as(op, error);
}

}  // namespace

Tensor tril_indices(std::int64_t rows, std::int64_t columns, std::int64_t offset,
                    const TensorOptions& options) {
  return triangle_indices("tril_indices", rows, columns, offset, options, le);
}
Tensor triu_indices(std::int64_t rows, std::int64_t columns, std::int64_t offset,
                    const TensorOptions& options) {
  return triangle_indices("triu_indices", rows, columns, offset, options, ge);
}

// --- windows

Tensor unfold(const Tensor& x, int dim, std::int64_t size, std::int64_t step) try {
  check_defined("unfold", x);
  check(x.dim() > 0, "unfold: a number has no dimension to cut; unsqueeze it first");
  const int d = normalize_dim("unfold", dim, x.dim());
  check(size >= 0 && size <= x.size(d) && step > 0, "unfold: windows of ", size, " elements, ", step,
        " apart, do not fit dimension ", d, " of ", x.shape(),
        "; the size is at most that, the step at least 1");
  const std::int64_t windows = (x.size(d) - size) / step + 1;
  const TensorOptions counting{.dtype = int64, .device = x.device()};
  const Tensor index = (arange(windows, counting) * step).unsqueeze(1) + arange(size, counting);
  return index_select(x, d, index.flatten()).unflatten(d, {windows, size}).movedim(d + 1, -1);
} catch (const Error& error) {
  rethrow_as("unfold", error);
}

Tensor channel_shuffle(const Tensor& x, std::int64_t groups) try {
  check_defined("channel_shuffle", x);
  check(x.dim() >= 3, "channel_shuffle: got shape ", x.shape(), "; it must be (n, channels, ...)");
  check(groups > 0 && x.size(1) % groups == 0, "channel_shuffle: ", groups, " groups do not divide ",
        x.size(1), " channels; choose a divisor");
  return x.unflatten(1, {groups, x.size(1) / groups}).transpose(1, 2).flatten(1, 2);
} catch (const Error& error) {
  rethrow_as("channel_shuffle", error);
}

// --- parts put back

namespace {

/// x with `source` where `part` finds its elements.
Tensor with_part(const char* op, const Tensor& x, const Tensor& source,
                 const std::function<Tensor(const Tensor&)>& part) try {
  check_defined(op, x);
  check_defined(op, source);
  check_same_device(op, {x, source});
  check_same_dtype(op, {x, source});
  Tensor y = x.clone(), place = part(y);
  check(source.shape() == place.shape(), op, ": the source has shape ", source.shape(), "; it must be ",
        place.shape());
  place.copy_(source);
  return y;
} catch (const Error& error) {
  rethrow_as(op, error);
}

}  // namespace

Tensor select_scatter(const Tensor& x, const Tensor& source, int dim, std::int64_t index) {
  return with_part("select_scatter", x, source, [&](const Tensor& y) { return y.select(dim, index); });
}

Tensor slice_scatter(const Tensor& x, const Tensor& source, int dim, std::int64_t start, std::int64_t stop,
                     std::int64_t step) {
  return with_part("slice_scatter", x, source,
                   [&](const Tensor& y) { return y.slice(dim, start, stop, step); });
}

Tensor diagonal_scatter(const Tensor& x, const Tensor& source, std::int64_t offset, int dim1, int dim2) {
  return with_part("diagonal_scatter", x, source,
                   [&](const Tensor& y) { return y.diagonal(offset, dim1, dim2); });
}

namespace {

/// An index of one dimension as one for `scatter`: the same for every element of a row.
Tensor spread_index(const char* op, const Tensor& x, int d, const Tensor& index) {
  check_index(op, x, index);
  check(x.dim() > 0 && index.dim() == 1, op, ": got shape ", x.shape(), " and an index of shape ",
        index.shape(), "; both need a dimension, the index no more");
  Shape line = Shape::filled(x.dim(), 1), shape = x.shape();
  line[d] = shape[d] = index.size(0);
  return index.view(line).expand(shape);
}

}  // namespace

Tensor index_fill(const Tensor& x, int dim, const Tensor& index, Scalar value) try {
  check_defined("index_fill", x);
  return scatter(x, dim, spread_index("index_fill", x, normalize_dim("index_fill", dim, x.dim()), index),
                 value);
} catch (const Error& error) {
  rethrow_as("index_fill", error);
}

Tensor index_copy(const Tensor& x, int dim, const Tensor& index, const Tensor& source) try {
  check_defined("index_copy", x);
  check_defined("index_copy", source);
  const Tensor places = spread_index("index_copy", x, normalize_dim("index_copy", dim, x.dim()), index);
  check(source.shape() == places.shape(), "index_copy: the source has shape ", source.shape(), "; for ",
        index.size(0), " indices it must be ", places.shape());
  return scatter(x, dim, places, source);
} catch (const Error& error) {
  rethrow_as("index_copy", error);
}

Tensor take(const Tensor& x, const Tensor& index) try {
  check_index("take", x, index);
  return gather(x.flatten(), 0, index.flatten()).reshape(index.shape());
} catch (const Error& error) {
  rethrow_as("take", error);
}

Tensor masked_scatter(const Tensor& x, const Tensor& mask, const Tensor& source) try {
  for (const Tensor* argument : {&x, &mask, &source}) check_defined("masked_scatter", *argument);
  check(mask.dtype() == boolean, "masked_scatter: the mask is ", mask.dtype(), "; compare to get bool");
  check_same_dtype("masked_scatter", {x, source});
  check_same_device("masked_scatter", {x, mask, source});
  check(broadcast_shapes("masked_scatter", x.shape(), mask.shape()) == x.shape(),
        "masked_scatter: a mask of ", mask.shape(), " does not broadcast to ", x.shape(), "; reshape it");
  const Tensor chosen = mask.expand(x.shape());
  if (x.numel() == 0) return x.clone();
  const Tensor flat = chosen.flatten();
  if (x.is_cpu()) {  // on a GPU the host does not wait for the mask
    const auto wanted = sum(flat).item<std::int64_t>();
    check(wanted <= source.numel(), "masked_scatter: the mask is true for ", wanted,
          " elements, the source has ", source.numel(), "; it must have as many");
  }
  // The number of each among the chosen; others read the zero before the first.
  const Tensor number = where(flat, cumsum(flat, 0), 0);
  const Tensor from = cat({zeros({1}, {.dtype = x.dtype(), .device = x.device()}), source.flatten()});
  return where(chosen, gather(from, 0, number).view(x.shape()), x);
} catch (const Error& error) {
  rethrow_as("masked_scatter", error);
}

Tensor argwhere(const Tensor& x) try { return nonzero(x); } catch (const Error& error) {
  rethrow_as("argwhere", error);
}

}  // namespace miniparallel
