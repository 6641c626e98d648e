#include "engine/autograd/trace.h"
#include "engine/autograd/view_history.h"
#include "engine/ops/common.h"
#include "engine/ops/split.h"

#include <algorithm>

// Views: aliases of the same storage. Each states its new
// geometry and, next to it, how a gradient finds its way back.

namespace miniparallel {
namespace {

using autograd::make_view;
using autograd::record_view;

std::int64_t offset_of(const Tensor& x) { return x.impl()->offset; }

/// Of what views are made.
void check_viewed(const char* op, const Tensor& x) {
  check_defined(op, x);
  become_row_major(x);
}

/// The dimension along which a part is taken, from the front. Throws, naming `op`, if it does not exist.
int sliced_dim(const char* op, const Tensor& x, int dim) {
  check_defined(op, x);
  check(x.dim() > 0, op, ": a tensor without dimensions has no dimension ", dim, "; unsqueeze it first");
  return normalize_dim(op, dim, x.dim());
}

/// `shape` with its -1 replaced by what `numel` leaves for it.
Shape infer_size(const char* op, const Shape& shape, const Tensor& x) {
  check_defined(op, x);
  const Shape& from = x.shape();
  const std::int64_t numel = from.numel();
  Shape result = shape;
  int unknown = -1;
  Shape given;
  for (int d = 0; d < shape.rank(); ++d) {
    if (shape[d] == -1) {
      check(unknown < 0, op, ": ", shape, " has more than one -1; only one size can be inferred");
      unknown = d;
    } else {
      check(shape[d] >= 0, op, ": ", shape,
            " has a negative size; each must be at least 0, or one of them -1");
      given.push_back(shape[d]);
    }
  }
  if (unknown >= 0) {
    const std::int64_t known = given.numel();
    check(known > 0 && numel % known == 0, op, ": ", from, " with ", numel, " elements cannot take shape ",
          shape, "; the known sizes must divide the number of elements");
    result[unknown] = numel / known;
  }
  check(result.numel() == numel, op, ": ", from, " with ", numel, " elements cannot take shape ", shape,
        "; the sizes must multiply to the number of elements");
  return result;
}

/// Strides that show `x` with `shape` without a copy. Groups of old dimensions that share one run of memory
/// can be cut anew; a new dimension must not reach across two runs.
bool view_strides(const Tensor& x, const Shape& shape, Shape& result) {
  if (x.is_contiguous()) {
    result = shape.row_major_strides();
    return true;
  }
  result = shape;
  int to = shape.rank() - 1;
  std::int64_t run = 1, base = 1;
  for (int d = x.dim() - 1; d >= 0; --d) {
    if (run == 1) base = x.strides()[d];
    run *= x.shape()[d];
    const bool joins = d > 0 && (x.shape()[d - 1] == 1 || x.strides()[d - 1] == run * base);
    if (joins) continue;
    std::int64_t covered = 1;
    while (to >= 0 && (covered < run || shape[to] == 1)) {
      result[to] = covered * base;
      covered *= shape[to--];
    }
    if (covered != run) return false;
    run = 1;
  }
  return to < 0;
}

/// Whether sizes with these strides fill an array without gaps.
bool is_dense(const Shape& sizes, const Shape& strides) {
  std::vector<std::pair<std::int64_t, std::int64_t>> steps;
  for (int d = 0; d < sizes.rank(); ++d)
    if (sizes[d] != 1) steps.emplace_back(strides[d], sizes[d]);
  std::ranges::sort(steps);
  std::int64_t expected = 1;
  for (const auto& [stride, size] : steps) {
    if (stride != expected) return false;
    expected *= size;
  }
  return true;
}

/// Zeros that lie in memory as a tensor with these strides does, where that is without gaps: the gradient of
/// a transposed tensor is then, on the way back through that, row-major.
Tensor zeros_like_laid(const Shape& shape, const Shape& strides, const TensorOptions& options) {
  if (!is_dense(shape, strides)) return zeros(shape, options);
  return make_alias(zeros({shape.numel()}, options), shape, strides, 0);
}

Tensor slice_backward(const Tensor& g, const Shape& shape, const Shape& strides, int dim, std::int64_t start,
                      std::int64_t stop, std::int64_t step) {
  Tensor dx;
  {
    const NoGradGuard no_grad;
    dx = zeros_like_laid(shape, strides, {.dtype = g.dtype(), .device = g.device()});
    dx.slice(dim, start, stop, step).copy_(g);
  }
  if (recording(g))
    record("slice_backward", dx, {g}, [=](Backward& b) { b.set(0, b.grad().slice(dim, start, stop, step)); });
  return dx;
}

}  // namespace

Tensor Tensor::view(const Shape& shape) const {
  check_viewed("view", *this);
  const Shape sizes = infer_size("view", shape, *this);
  Shape strides;
  check(view_strides(*this, sizes, strides), "view: ", this->shape(), " with strides ", this->strides(),
        " cannot be seen as ", sizes, " without a copy; use reshape");
  return record_view("view", *this, sizes, strides, offset_of(*this),
                     [from = this->shape()](const Tensor& g) { return g.reshape(from); });
}

Tensor Tensor::reshape(const Shape& shape) const {
  const Shape sizes = infer_size("reshape", shape, *this);
  if (sizes == this->shape()) return *this;
  become_row_major(*this);
  Shape strides;
  return view_strides(*this, sizes, strides) ? view(sizes) : clone().view(sizes);
}

Tensor Tensor::flatten(int start_dim, int end_dim) const {
  check_defined("flatten", *this);
  const int first = normalize_dim("flatten", start_dim, dim()),
            last = normalize_dim("flatten", end_dim, dim());
  check(first <= last, "flatten: start_dim ", start_dim, " comes after end_dim ", end_dim, "; exchange them");
  if (dim() == 0) return reshape({1});
  Shape sizes;
  for (int d = 0; d < dim(); ++d) {
    if (d > first && d <= last)
      sizes[sizes.rank() - 1] *= shape()[d];
    else
      sizes.push_back(shape()[d]);
  }
  return reshape(sizes);
}

Tensor Tensor::permute(const Shape& dims) const {
  check_viewed("permute", *this);
  check(dims.rank() == dim(), "permute: got ", dims.rank(), " dimensions for a tensor with ", dim(),
        "; name every dimension once");
  Shape inverse = dims, sizes, new_strides;
  bool used[kMaxRank] = {};
  for (int i = 0; i < dim(); ++i) {
    const int d = normalize_dim("permute", dims[i], dim());
    check(!used[d], "permute: dimension ", d, " is named twice in ", dims, "; name every dimension once");
    used[d] = true;
    inverse[d] = i;
    sizes.push_back(shape()[d]);
    new_strides.push_back(strides()[d]);
  }
  autograd::note("dims", inverse);
  return record_view("permute", *this, sizes, new_strides, offset_of(*this),
                     [inverse](const Tensor& g) { return g.permute(inverse); });
}

Tensor Tensor::transpose(int dim0, int dim1) const {
  check_viewed("transpose", *this);
  const int a = normalize_dim("transpose", dim0, dim()), b = normalize_dim("transpose", dim1, dim());
  if (dim() == 0) return *this;
  Shape sizes = shape(), new_strides = strides();
  std::swap(sizes[a], sizes[b]);
  std::swap(new_strides[a], new_strides[b]);
  autograd::note("pair", std::array{std::int64_t{a}, std::int64_t{b}});
  return record_view("transpose", *this, sizes, new_strides, offset_of(*this),
                     [a, b](const Tensor& g) { return g.transpose(a, b); });
}

Tensor Tensor::t() const {
  check_defined("t", *this);
  check(dim() <= 2, "t: got shape ", shape(), "; it takes at most 2 dimensions, use transpose(dim0, dim1)");
  return dim() < 2 ? *this : transpose(0, 1);
}

Tensor Tensor::slice(int dim, std::int64_t start, std::int64_t stop, std::int64_t step) const {
  const int d = sliced_dim("slice", *this, dim);
  become_row_major(*this);
  check(step >= 1, "slice: the step is ", step, "; it must be at least 1");
  const std::int64_t size = shape()[d];
  const auto clip = [size](std::int64_t at) {
    return std::clamp<std::int64_t>(at < 0 ? at + size : at, 0, size);
  };
  const std::int64_t first = clip(start), last = std::max(first, clip(stop));
  Shape sizes = shape(), new_strides = strides();
  sizes[d] = (last - first) / step + ((last - first) % step != 0);
  if (sizes[d] > 1) new_strides[d] *= step;
  autograd::note("range", std::array{std::int64_t{d}, first, last, step});
  return record_view("slice", *this, sizes, new_strides, offset_of(*this) + first * strides()[d],
                     [from = shape(), order = strides(), d, first, last, step](const Tensor& g) {
                       return slice_backward(g, from, order, d, first, last, step);
                     });
}

Tensor Tensor::narrow(int dim, std::int64_t start, std::int64_t length) const {
  const int d = sliced_dim("narrow", *this, dim);
  const std::int64_t size = shape()[d];
  check(start >= 0 && length >= 0 && length <= size - start, "narrow: ", length, " elements from ", start,
        " exceed dimension ", dim, " of size ", size, "; start and length must stay within it");
  return slice(dim, start, start + length);
}

Tensor Tensor::select(int dim, std::int64_t index) const {
  const int d = sliced_dim("select", *this, dim);
  const std::int64_t size = shape()[d];
  check(size > 0, "select: dimension ", d, " of ", shape(), " has no index ", index, "; it is empty");
  check(index >= -size && index < size, "select: index ", index, " is out of range for dimension ", d,
        " of size ", size, "; it must be at least ", -size, " and below ", size);
  const std::int64_t at = index < 0 ? index + size : index;
  return slice(d, at, at + 1).squeeze(d);
}

Tensor Tensor::expand(const Shape& shape) const {
  check_viewed("expand", *this);
  const int added = shape.rank() - dim();
  check(added >= 0, "expand: ", this->shape(), " has more dimensions than ", shape, "; name a size for each");
  Shape sizes = shape, new_strides = Shape::filled(shape.rank(), 0);
  for (int d = 0; d < shape.rank(); ++d) {
    const std::int64_t from = d < added ? 1 : this->shape()[d - added];
    check(sizes[d] >= 0 || (sizes[d] == -1 && d >= added), "expand: ", shape,
          " has a negative size; each must be at least 0, or -1 to keep it");
    if (sizes[d] == -1) sizes[d] = from;
    check(from == sizes[d] || from == 1, "expand: ", this->shape(), " cannot be expanded to ", shape,
          ": dimension ", d, " has size ", from, "; only a size of 1 expands");
    if (d >= added && from == sizes[d]) new_strides[d] = strides()[d - added];
  }
  if (sizes == this->shape()) return *this;
  return record_view("expand", *this, sizes, new_strides, offset_of(*this),
                     [from = this->shape()](const Tensor& g) { return sum_to(g, from); });
}

Tensor Tensor::squeeze() const {
  check_viewed("squeeze", *this);
  Shape sizes, new_strides;
  for (int d = 0; d < dim(); ++d) {
    if (shape()[d] == 1) continue;
    sizes.push_back(shape()[d]);
    new_strides.push_back(strides()[d]);
  }
  return record_view("squeeze", *this, sizes, new_strides, offset_of(*this),
                     [from = shape()](const Tensor& g) { return g.reshape(from); });
}

Tensor Tensor::squeeze(int dim) const {
  check_viewed("squeeze", *this);
  const int d = normalize_dim("squeeze", dim, this->dim());
  if (this->dim() == 0 || shape()[d] != 1) return *this;
  Shape sizes = shape(), new_strides = strides();
  sizes.erase(d);
  new_strides.erase(d);
  return record_view("squeeze", *this, sizes, new_strides, offset_of(*this),
                     [from = shape()](const Tensor& g) { return g.reshape(from); });
}

Tensor Tensor::unsqueeze(int dim) const {
  check_viewed("unsqueeze", *this);
  const int d = normalize_dim("unsqueeze", dim, this->dim() + 1);
  Shape sizes = shape(), new_strides = strides();
  new_strides.insert(d, d < this->dim() ? sizes[d] * new_strides[d] : 1);
  sizes.insert(d, 1);
  return record_view("unsqueeze", *this, sizes, new_strides, offset_of(*this),
                     [from = shape()](const Tensor& g) { return g.reshape(from); });
}

namespace {

/// From each tensor to the next in their common memory; 0 where they are not alike and evenly apart.
std::int64_t step_between(std::span<const Tensor> parts) {
  const auto offset = [&](std::size_t i) { return parts[i].impl()->offset; };
  const std::int64_t step = parts.size() > 1 ? offset(1) - offset(0) : 0;
  for (std::size_t i = 1; i < parts.size(); ++i)
    if (parts[i].impl()->storage != parts[0].impl()->storage || parts[i].shape() != parts[0].shape() ||
        parts[i].strides() != parts[0].strides() || parts[i].dtype() != parts[0].dtype() ||
        offset(i) - offset(i - 1) != step)
      return 0;
  return std::max<std::int64_t>(step, 0);
}

/// The tensor whose parts along `dim` these are, if they are neighbours in memory; else undefined.
Tensor joined(const std::vector<Tensor>& parts, int dim) {
  Shape shape = parts[0].shape();
  const std::int64_t step = step_between(parts);
  if (step == 0 || step != shape[dim] * parts[0].strides()[dim]) return {};
  shape[dim] *= std::ssize(parts);
  return make_alias(parts[0], shape, parts[0].strides(), offset_of(parts[0]));
}

/// The gradient of what was split along `dim` into parts of these shapes; nothing may have reached some.
Tensor split_backward(Backward& b, const std::vector<Shape>& shapes, int dim, const TensorOptions& options) {
  std::vector<Tensor> gradients;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    gradients.push_back(b.take_grad(static_cast<int>(i)));
    if (!gradients.back().defined())
      gradients.back() = zeros(Shape::filled(shapes[i].rank(), 1), options).expand(shapes[i]);
  }
  if (gradients.size() == 1) return gradients[0];
  const Tensor whole = b.create_graph() ? Tensor() : joined(gradients, dim);
  return whole.defined() ? whole : cat(gradients, dim);
}

}  // namespace

std::vector<Tensor> make_parts_like(std::span<const Tensor> parts) {
  const Tensor& first = parts[0];
  const std::int64_t step = step_between(parts), count = std::ssize(parts);
  if (step == 0 || first.dim() == kMaxRank) return {};
  Shape sizes = first.shape(), strides = first.strides();
  sizes.push_back(count);
  strides.push_back(step);
  if (!is_dense(sizes, strides)) return {};
  const Tensor whole = make_tensor({sizes.numel()}, first.dtype(), first.device());
  std::vector<Tensor> made;
  for (std::int64_t i = 0; i < count; ++i)
    made.push_back(make_alias(whole, first.shape(), first.strides(), i * step));
  return made;
}

std::vector<Tensor> split_whole(const Tensor& whole, const std::vector<std::int64_t>& sizes, int dim) {
  std::vector<Tensor> parts;
  std::vector<Shape> shapes;
  become_row_major(whole);
  std::int64_t offset = offset_of(whole);
  for (const std::int64_t size : sizes) {
    shapes.push_back(whole.shape());
    shapes.back()[dim] = size;
    parts.push_back(make_view(whole, shapes.back(), whole.strides(), offset));
    offset += size * whole.strides()[dim];
  }
  if (!parts.empty() && recording(whole)) {
    autograd::note("axis", dim);
    record("split", parts, {whole},
           [shapes = std::move(shapes), dim,
            options = TensorOptions{.dtype = whole.dtype(), .device = whole.device()}](Backward& b) {
             b.set(0, split_backward(b, shapes, dim, options));
           });
  }
  return parts;
}

std::vector<Tensor> Tensor::split(const Shape& sizes, int dim) const {
  const int d = sliced_dim("split", *this, dim);
  std::int64_t sum = 0;
  for (const std::int64_t size : sizes) {
    check(size >= 0, "split: the sizes ", sizes, " have a negative one; each must be at least 0");
    sum += size;
  }
  check(sum == shape()[d], "split: the sizes ", sizes, " do not sum to ", shape()[d],
        ", the size of dimension ", d, "; name the size of every part");
  return split_whole(*this, {sizes.begin(), sizes.end()}, d);
}

namespace {

/// `whole` in parts of `size`, at least 1, of which there is one where it is empty.
std::vector<Tensor> split_evenly(const Tensor& whole, std::int64_t size, int dim) {
  const std::int64_t n = whole.shape()[dim];
  std::vector<std::int64_t> sizes;
  for (std::int64_t start = 0; start < n || start == 0; start += size)
    sizes.push_back(std::min(size, n - start));
  return split_whole(whole, sizes, dim);
}

}  // namespace

std::vector<Tensor> Tensor::split(std::int64_t size, int dim) const {
  const int d = sliced_dim("split", *this, dim);
  const std::int64_t least = shape()[d] == 0 ? 0 : 1;
  check(size >= least, "split: the size of a part is ", size, "; it must be at least ", least);
  return split_evenly(*this, std::max<std::int64_t>(size, 1), d);
}

std::vector<Tensor> Tensor::chunk(std::int64_t chunks, int dim) const {
  check(chunks >= 1, "chunk: the number of chunks is ", chunks, "; it must be at least 1");
  const int d = sliced_dim("chunk", *this, dim);
  const std::int64_t n = shape()[d];
  if (n == 0) return split_whole(*this, std::vector<std::int64_t>(static_cast<std::size_t>(chunks), 0), d);
  return split_evenly(*this, n / chunks + (n % chunks != 0), d);
}

}  // namespace miniparallel
