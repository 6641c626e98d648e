#include "engine/autograd/trace.h"
#include "engine/ops/common.h"
#include "engine/ops/split.h"

#include <algorithm>

// Dimensions in another order, elements repeated or elsewhere: views, and copies made of views.

namespace miniparallel {

Tensor Tensor::movedim(const Shape& source, const Shape& destination) const {
  check_defined("movedim", *this);
  check(source.rank() == destination.rank(), "movedim: got ", source.rank(), " dimensions to move and ",
        destination.rank(), " places; name as many");
  Shape order = Shape::filled(dim(), -1);
  bool moved[kMaxRank] = {};
  for (int i = 0; i < source.rank(); ++i) {
    const int from = normalize_dim("movedim", source[i], dim());
    const int to = normalize_dim("movedim", destination[i], dim());
    check(!moved[from] && order[to] < 0, "movedim: a dimension is named twice in ", source, " or ",
          destination, "; name each once");
    moved[from] = true;
    order[to] = from;
  }
  int next = 0;
  for (std::int64_t& from : order) {
    if (from >= 0) continue;
    while (moved[next]) ++next;
    from = next++;
  }
  return permute(order);
}

std::vector<Tensor> Tensor::unbind(int dim) const {
  check_defined("unbind", *this);
  check(this->dim() > 0, "unbind: a tensor without dimensions has no parts; unsqueeze it first");
  const int d = normalize_dim("unbind", dim, this->dim());
  std::vector<Tensor> parts =
      split_whole(*this, std::vector<std::int64_t>(static_cast<std::size_t>(size(d)), 1), d);
  for (Tensor& part : parts) part = part.squeeze(d);
  return parts;
}

std::vector<Tensor> meshgrid(const std::vector<Tensor>& vectors) {
  Shape shape;
  for (const Tensor& vector : vectors) {
    check_defined("meshgrid", vector);
    check(vector.dim() <= 1, "meshgrid: got shape ", vector.shape(), "; it takes vectors");
    shape.push_back(vector.numel());
  }
  std::vector<Tensor> grids;
  for (int d = 0; d < shape.rank(); ++d) {
    Shape along = Shape::filled(shape.rank(), 1);
    along[d] = shape[d];
    grids.push_back(vectors[static_cast<std::size_t>(d)].view(along).expand(shape));
  }
  return grids;
}

// --- repeated

namespace {

void check_repeats(const char* op, const Shape& repeats) {
  for (const std::int64_t count : repeats)
    check(count >= 0, op, ": the repeats ", repeats, " have a negative one; each must be at least 0");
}

/// Dimension `dim` as often as `count` says, whole (outer) or each index by itself (inner).
Tensor repeated(const Tensor& x, int dim, std::int64_t count, bool whole) {
  if (count == 1) return x;
  const Tensor apart = x.unsqueeze(whole ? dim : dim + 1);
  Shape shape = apart.shape();
  shape[whole ? dim : dim + 1] = count;
  return apart.expand(shape).flatten(dim, dim + 1);
}

}  // namespace

Tensor Tensor::repeat(const Shape& repeats) const {
  check_defined("repeat", *this);
  check_repeats("repeat", repeats);
  check(repeats.rank() >= dim(), "repeat: got the repeats ", repeats, " for shape ", shape(),
        "; name a number for each dimension");
  Tensor y = *this;
  while (y.dim() < repeats.rank()) y = y.unsqueeze(0);
  for (int d = y.dim() - 1; d >= 0; --d) y = repeated(y, d, repeats[d], true);
  return y.impl()->storage == impl()->storage ? y.clone() : y;
}

Tensor tile(const Tensor& x, const Shape& repeats) try {
  Shape all = repeats;
  while (all.rank() < x.dim()) all.insert(0, 1);
  return x.repeat(all);
} catch (const Error& error) {
  rethrow_as("tile", error);
}

Tensor repeat_interleave(const Tensor& x, std::int64_t repeats, std::optional<int> dim) {
  check_defined("repeat_interleave", x);
  check_repeats("repeat_interleave", {repeats});
  if (!dim) return repeat_interleave(x.flatten(), repeats, 0);
  check(x.dim() > 0, "repeat_interleave: a tensor without dimensions has no dimension ", *dim,
        "; leave it out");
  const int d = normalize_dim("repeat_interleave", *dim, x.dim());
  return repeats == 1 ? x.clone() : repeated(x, d, repeats, false);
}

// --- elsewhere

Tensor flip(const Tensor& x, const Shape& dims) {
  check_defined("flip", x);
  bool named[kMaxRank] = {};
  for (const std::int64_t dim : dims) {
    const int d = normalize_dim("flip", dim, x.dim());
    check(!named[d], "flip: dimension ", d, " is named twice in ", dims, "; name it once");
    named[d] = true;
  }
  Tensor y = x.detach();
  for (int d = 0; d < x.dim(); ++d)
    if (named[d] && x.size(d) > 1)
      y = index_select(y, d, arange(x.size(d) - 1, -1, -1, {.dtype = int64, .device = x.device()}));
  if (y.impl()->storage == x.impl()->storage) y = y.clone();
  if (recording(x)) record("flip", y, {x}, [dims](Backward& b) { b.set(0, flip(b.grad(), dims)); });
  return y;
}

namespace {

/// Made of other ops.
Tensor composed_roll(const Tensor& x, const Shape& shifts, const Shape& dims) {
  Tensor y = x;
  for (int i = 0; i < dims.rank(); ++i) {
    const int d = normalize_dim("roll", dims[i], x.dim());
    const std::int64_t n = x.size(d);
    const std::int64_t shift = n == 0 ? 0 : (shifts[i] % n + n) % n;
    if (shift != 0) y = cat({y.narrow(d, n - shift, shift), y.narrow(d, 0, n - shift)}, d);
  }
  return y.is_same(x) ? x.clone() : y;
}

}  // namespace

Tensor roll(const Tensor& x, const Shape& shifts, const Shape& dims) try {
  check_defined("roll", x);
  if (dims.empty() && shifts.rank() == 1) return roll(x.flatten(), shifts, {0}).reshape(x.shape());
  check(shifts.rank() == dims.rank(), "roll: got the shifts ", shifts, " for dims ", dims,
        "; name a dimension for each shift, or one shift alone");
  // What is traced for another language is best made of ops that it knows.
  if (!recording(x) || autograd::tracing != nullptr) return composed_roll(x, shifts, dims);
  Tensor y = composed_roll(x.detach(), shifts, dims);
  Shape back = shifts;
  for (int i = 0; i < dims.rank(); ++i)
    if (const std::int64_t n = x.size(dims[i]); n > 0) back[i] = n - shifts[i] % n;
  record("roll", y, {x}, [back, dims](Backward& b) { b.set(0, roll(b.grad(), back, dims)); });
  return y;
} catch (const Error& error) {
  rethrow_as("roll", error);
}

// --- joined

namespace {

std::vector<Tensor> with_dimensions(const char* op, const std::vector<Tensor>& tensors, int least) {
  check(!tensors.empty(), op, ": no tensors were given; pass at least one");
  std::vector<Tensor> parts = tensors;
  for (Tensor& part : parts) {
    check_defined(op, part);
    while (part.dim() < least) part = part.unsqueeze(0);
  }
  return parts;
}

}  // namespace

Tensor hstack(const std::vector<Tensor>& tensors) try {
  const std::vector<Tensor> parts = with_dimensions("hstack", tensors, 1);
  return cat(parts, parts[0].dim() == 1 ? 0 : 1);
} catch (const Error& error) {
  rethrow_as("hstack", error);
}

Tensor vstack(const std::vector<Tensor>& tensors) try {
  return cat(with_dimensions("vstack", tensors, 2), 0);
} catch (const Error& error) {
  rethrow_as("vstack", error);
}

}  // namespace miniparallel
