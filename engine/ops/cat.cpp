#include "engine/autograd/trace.h"
#include "engine/ops/common.h"

#include <algorithm>

namespace miniparallel {
namespace {

/// Tensors of shape [0] join with anything, as in PyTorch.
bool is_nothing(const Tensor& x) { return x.dim() == 1 && x.numel() == 0; }

/// The place of one input in the result.
struct Part {
  Shape shape;
  DType dtype;
  std::int64_t start, length;
  bool channels_last;
};

/// Shape and dtype of the result; `dim` may be negative.
struct Joined {
  Shape shape;
  DType dtype;
  int dim;

  Joined(const std::vector<Tensor>& tensors, int given_dim) {
    check(!tensors.empty(), "cat: no tensors were given; pass at least one");
    for (const Tensor& x : tensors) check_defined("cat", x);
    const Tensor* like = &tensors[0];
    for (const Tensor& x : tensors)
      if (is_nothing(*like)) like = &x;
    check(like->dim() > 0, "cat: tensors without dimensions cannot be joined; use stack");
    shape = like->shape();
    dtype = like->dtype();
    dim = normalize_dim("cat", given_dim, like->dim());
    shape[dim] = 0;
    for (const Tensor& x : tensors) add(x, *like);
  }

  void add(const Tensor& x, const Tensor& like) {
    if (x.device() != like.device()) check_same_device("cat", {like, x});
    dtype = promote(dtype, x.dtype());
    if (is_nothing(x)) return;
    Shape others = x.shape();
    if (others.rank() == shape.rank()) others[dim] = shape[dim];
    check(others == shape, "cat: shapes ", like.shape(), " and ", x.shape(), " differ outside dim ", dim,
          "; only the size of the joined dimension may");
    shape[dim] += x.shape()[dim];
  }
};

/// Copies between a tensor and the elements of another from `start` along `axis` on.
void copy_part(const Tensor& to, const Tensor& from, const kernels::Layout& layout, std::int64_t to_offset,
               std::int64_t from_offset) {
  const auto at = [](const Tensor& x, std::int64_t offset) {
    return static_cast<std::byte*>(raw(x)) + offset * static_cast<std::int64_t>(x.element_size());
  };
  kernels::ElementwiseArgs args;
  args.layout = layout;
  args.operands[0] = at(to, to_offset);
  args.operands[1] = at(from, from_offset);
  backend(to).elementwise.convert(from.dtype(), to.dtype(), args, stream(to));
}

/// Writes x, with a dimension of 1 at `added` (below 0: none), to the elements of y from element `start` of
/// its memory on.
void copy_into_part(const Tensor& y, std::int64_t start, const Tensor& x, int added) {
  Shape shape = x.shape(), strides = x.strides();
  if (added >= 0) {
    shape.insert(added, 1);
    strides.insert(added, 0);
  }
  copy_part(y, x, kernels::make_layout(shape, {y.strides(), strides}), start, 0);
}

/// Part of a gradient that is channels-last, laid out as the input was.
Tensor copy_of_part(const Tensor& g, const Part& part, int axis) {
  Tensor dx = make_laid_out(part.channels_last, part.shape, part.dtype, g.device());
  if (dx.numel() == 0) return dx;
  copy_part(dx, g, kernels::make_layout(part.shape, {dx.strides(), g.strides()}), 0,
            part.start * g.strides()[axis]);
  return dx;
}

void backward_of_join(Backward& b, const std::vector<Part>& parts, int axis) {
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const int input = static_cast<int>(i);
    const Part& part = parts[i];
    if (!b.needs(input)) continue;
    if (b.grad().impl()->channels_last && !b.create_graph() && part.shape.rank() == 4) {  // it has no views
      b.set(input, copy_of_part(b.grad(), part, axis));
      continue;
    }
    const Tensor g = b.grad().narrow(axis, part.start, part.length);
    b.set(input, g.reshape(part.shape).to(part.dtype));
  }
}

/// The tensors one after another along `axis`, a dimension that they have, or that `is_new`. Channels-last if
/// one of them is.
Tensor join(const char* name, const std::vector<Tensor>& tensors, const Shape& shape, DType dtype, int axis,
            bool is_new) {
  const bool channels_last =
      !is_new && std::ranges::any_of(tensors, [](const Tensor& x) { return x.impl()->channels_last; });
  Tensor y = make_laid_out(channels_last, shape, dtype, tensors[0].device());
  const bool records = recording(tensors);
  std::vector<Part> parts;
  if (records) parts.reserve(tensors.size());
  std::int64_t start = 0;
  for (const Tensor& x : tensors) {
    const std::int64_t length = is_new ? 1 : is_nothing(x) ? 0 : x.shape()[axis];
    if (x.numel() > 0) copy_into_part(y, start * y.strides()[axis], x, is_new ? axis : -1);
    if (records) parts.push_back({x.shape(), x.dtype(), start, length, x.impl()->channels_last});
    start += length;
  }
  if (records) {
    autograd::note("axis", axis);
    autograd::note("is_new", is_new);
    record(name, y, tensors,
           [parts = std::move(parts), axis](Backward& b) { backward_of_join(b, parts, axis); });
  }
  return y;
}

}  // namespace

Tensor cat(const std::vector<Tensor>& tensors, int dim) {
  const Joined joined(tensors, dim);
  return join("cat", tensors, joined.shape, joined.dtype, joined.dim, false);
}

Tensor stack(const std::vector<Tensor>& tensors, int dim) {
  check(!tensors.empty(), "stack: no tensors were given; pass at least one");
  check_defined("stack", tensors[0]);
  const Tensor& like = tensors[0];
  const int axis = normalize_dim("stack", dim, like.dim() + 1);
  DType dtype = like.dtype();
  for (const Tensor& x : tensors) {
    check_defined("stack", x);
    check(x.shape() == like.shape(), "stack: shapes ", like.shape(), " and ", x.shape(),
          " differ; all must be equal");
    if (x.device() != like.device()) check_same_device("stack", {like, x});
    dtype = promote(dtype, x.dtype());
  }
  Shape shape = like.shape();
  shape.insert(axis, static_cast<std::int64_t>(tensors.size()));
  return join("stack", tensors, shape, dtype, axis, true);
}

}  // namespace miniparallel
