#include "engine/ops/indexing.h"

#include "engine/autograd/trace.h"
#include "engine/ops/native_half.h"

#include <algorithm>
#include <limits>

// Rows are gathered by an index, or scattered. Each is the other's backward.

namespace miniparallel {
namespace {

kernels::IndexArgs make_args(const Rows& rows, const Shape& whole, const Tensor& index) {
  kernels::IndexArgs args;
  args.op = rows.op;
  args.outer = Shape(whole.begin(), whole.begin() + rows.dim).numel();
  args.rows = whole[rows.dim];
  args.inner = Shape(whole.begin() + rows.dim + 1, whole.end()).numel();
  args.count = index.numel();
  args.index = raw(index);
  args.index_dtype = index.dtype();
  args.skip = rows.skip;
  args.checked = rows.checked;
  args.parts = rows.parts;
  return args;
}

/// `shape`: of the result, whose elements are those of `x` with `index.numel()` rows in dimension `rows.dim`.
Tensor picked_rows(const Rows& rows, const Tensor& input, const Tensor& index, const Shape& shape) {
  const Tensor x = input.contiguous();
  Tensor y = make_tensor(shape, x.dtype(), x.device());
  backend(x).indexing.gather(x.dtype(), make_args(rows, x.shape(), index), raw(x), raw(y), stream(x));
  return y;
}

/// Whether rows like those of g are added as float32.
bool adds_in_float32(const Tensor& g, const Tensor& index) {
  return is_half_on_cpu(g) || (is_half(g) && index.numel() > kernels::kMaxScatter);
}

/// Adds rows of `picked` to those of `whole`, which is contiguous: one for each index or, of dimension 0, one
/// for as many in a row as there are for each. Times the factors of the indices, which may be undefined.
void scatter_into(const Rows& rows, const Tensor& picked, const Tensor& index, const Tensor& whole,
                  const Tensor& factors = {}) {
  if (picked.dtype() == float32 && whole.dtype() == float32 && index.numel() > kernels::kMaxScatter) {
    const NoGradGuard no_grad;
    const Tensor wide = zeros(whole.shape(), {.dtype = float64, .device = whole.device()});
    scatter_into(rows, picked, index, wide, factors);
    Tensor target = whole;
    target.add_(wide);
    return;
  }
  const Tensor g = picked.contiguous();
  kernels::IndexArgs args = make_args(rows, whole.shape(), index);
  if (g.numel() > 0) args.uses = args.outer * args.count * args.inner / g.numel();
  args.factors = raw_or_null(factors);
  backend(g).indexing.scatter_add(g.dtype(), args, raw(g), whole.dtype(), raw(whole), stream(g));
}

}  // namespace

Tensor gather_rows(const Rows& rows, const Rows& gradient, const Tensor& x, const Tensor& index,
                   const Shape& shape) {
  Tensor y = picked_rows(rows, x, index, shape);
  if (recording(x)) {
    autograd::note("rows", rows.dim);
    autograd::note("index", index);
    record(rows.op, y, {x}, [gradient, index = save(index), whole = x.shape()](Backward& b) {
      const Tensor which = index.get(b), g = b.grad();
      if (b.create_graph() || adds_in_float32(g, which))
        return b.set(0, scatter_rows(gradient, g, which, whole));
      b.write(0, whole, g.dtype(), g.device(), [&](Tensor destination, int beta) {
        if (beta == 0) destination.zero_();
        scatter_into(gradient, g, which, destination);
      });
    });
  }
  return y;
}

Tensor scatter_rows(const Rows& rows, const Tensor& g, const Tensor& index, const Shape& whole) {
  if (adds_in_float32(g, index)) return in_float32(scatter_rows, rows, g, index, whole);
  Tensor x = zeros(whole, {.dtype = g.dtype(), .device = g.device()});
  scatter_into(rows, g, index, x);
  if (recording(g))
    record(rows.op, x, {g}, [rows, index = save(index), shape = g.shape()](Backward& b) {
      b.set(0, gather_rows(rows, rows, b.grad(), index.get(b), shape));
    });
  return x;
}

Tensor scatter_bags(const Rows& rows, const Tensor& g, const Tensor& index, const Tensor& factors,
                    const Shape& whole) {
  const NoGradGuard no_grad;
  Tensor x = zeros(whole, {.dtype = g.dtype(), .device = g.device()});
  scatter_into(rows, g, index, x, factors.defined() ? factors.contiguous() : factors);
  return x;
}

Tensor add_rows(const Rows& rows, const Tensor& x, const Tensor& source, const Tensor& index) {
  Tensor y = x.detach().clone();
  scatter_into(rows, source, index, y);
  if (recording(x, source))
    record(rows.op, y, {x, source}, [rows, index = save(index), shape = source.shape()](Backward& b) {
      const Tensor g = b.grad();
      if (b.needs(0)) b.set(0, g);
      if (b.needs(1)) b.set(1, gather_rows(rows, rows, g, index.get(b), shape));
    });
  return y;
}

void check_index(const char* op, const Tensor& x, const Tensor& index) {
  check_defined(op, x);
  check_defined(op, index);
  check_same_device(op, {x, index});
  check(index.dtype() == int64 || index.dtype() == int32, op, ": indices have dtype ", index.dtype(),
        "; convert them to int64 or int32");
}

std::int64_t bound_of(const char* op, const Tensor& x) {
  if (x.numel() == 0) return 0;
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  const auto greatest = amax(x.detach()).item<std::int64_t>();
  check(greatest >= 0 && greatest < most, op, ": the greatest element is ", greatest,
        "; it must be at least 0 and below ", most);
  return greatest + 1;
}

Tensor index_select(const Tensor& x, int dim, const Tensor& index) {
  check_index("index_select", x, index);
  check(x.dim() > 0, "index_select: the tensor has no dimension to select from; unsqueeze it first");
  check(index.dim() == 1, "index_select: the index has shape ", index.shape(),
        "; it must have one dimension");
  const Rows rows{"index_select", normalize_dim("index_select", dim, x.dim()), -1};
  Shape shape = x.shape();
  shape[rows.dim] = index.size(0);
  return gather_rows(rows, rows, x, index.contiguous(), shape);
}

Tensor embedding(const Tensor& weight, const Tensor& indices, std::int64_t padding_idx) {
  check_index("embedding", weight, indices);
  check(weight.dim() == 2, "embedding: weight has shape ", weight.shape(), "; it must be (count, width)");
  check(padding_idx < weight.size(0), "embedding: padding_idx ", padding_idx, " is out of range for ",
        weight.size(0), " rows; pass -1 for none");
  Shape shape = indices.shape();
  shape.push_back(weight.size(1));
  // The padding row is read like any other; only its gradient is dropped.
  return gather_rows({"embedding", 0, -1}, {"embedding", 0, padding_idx}, weight, indices.contiguous(),
                     shape);
}

namespace {

Tensor add_at(const char* op, const Tensor& x, int dim, const Tensor& index, const Tensor& source,
              Scalar alpha) {
  check_index(op, x, index);
  check_floating(op, x);
  check_floating(op, source);
  check_same_device(op, {x, source});
  check_same_dtype(op, {x, source});
  check(x.dim() > 0 && index.dim() == 1, op, ": got shape ", x.shape(), " and an index of shape ",
        index.shape(), "; both need a dimension, the index no more");
  const Rows rows{op, normalize_dim(op, dim, x.dim()), -1};
  Shape shape = x.shape();
  shape[rows.dim] = index.size(0);
  check(source.shape() == shape, op, ": the source has shape ", source.shape(), "; for ", index.size(0),
        " indices it must be ", shape);
  if (is_half(x)) return in_float32(add_at, op, x, dim, index, source, alpha);
  const Tensor scaled = alpha.as_double() == 1 ? source : source * alpha;
  return add_rows(rows, x, scaled, index.contiguous());
}

}  // namespace

Tensor index_add(const Tensor& x, int dim, const Tensor& index, const Tensor& source, Scalar alpha) {
  return add_at("index_add", x, dim, index, source, alpha);
}
Tensor& Tensor::index_add_(int dim, const Tensor& index, const Tensor& source, Scalar alpha) {
  return copy_into("index_add_", *this, add_at("index_add_", *this, dim, index, source, alpha));
}

Tensor bincount(const Tensor& x, const Tensor& weights, std::int64_t minlength) {
  check_defined("bincount", x);
  check_same_device("bincount", {x, weights});
  check(x.dim() == 1 && !x.is_floating() && x.dtype() != boolean, "bincount: got ", x.dtype(), " of shape ",
        x.shape(), "; it takes integers in one dimension");
  check(minlength >= 0, "bincount: minlength is ", minlength, "; it must be at least 0");
  check(!weights.defined() || weights.shape() == x.shape(), "bincount: the weights have shape ",
        weights.defined() ? weights.shape() : Shape(), " for numbers of shape ", x.shape(),
        "; they must agree");
  const Tensor index = x.to(int64).contiguous();
  const Shape bins{std::max(bound_of("bincount", index), minlength)};
  const Tensor counted = weights.defined() && weights.is_floating()
                             ? weights
                             : (weights.defined() ? weights : ones_like(index)).to(float64);
  const Tensor sums = scatter_rows({"bincount", 0, -1}, counted, index, bins);
  return weights.defined() ? sums : sums.to(int64);
}

}  // namespace miniparallel
