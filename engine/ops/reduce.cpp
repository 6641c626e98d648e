#include "engine/autograd/trace.h"
#include "engine/ops/autocast.h"
#include "engine/ops/common.h"
#include "engine/ops/native_half.h"
#include "engine/ops/scan.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace miniparallel {
namespace {

/// Which dimensions of a tensor a reduction keeps and which it folds.
struct Split {
  Shape kept, kept_strides, reduced, reduced_strides;
  Shape result;  ///< with keepdim applied
  Shape ones;    ///< with keepdim: broadcasts against the input
  bool is_folded[kMaxRank] = {};

  Split(const char* op, const Tensor& x, const Shape& dims, bool keepdim) {
    const int rank = x.dim();
    for (const std::int64_t dim : dims) {
      const int d = normalize_dim(op, dim, rank);
      check(!is_folded[d], op, ": dim ", d, " appears twice in dims ", dims, "; name every dimension once");
      is_folded[d] = true;
    }
    for (int d = 0; d < rank; ++d) {
      is_folded[d] = dims.empty() || is_folded[d];
      const bool folded = is_folded[d];
      (folded ? reduced : kept).push_back(x.shape()[d]);
      (folded ? reduced_strides : kept_strides).push_back(x.strides()[d]);
      ones.push_back(folded ? 1 : x.shape()[d]);
    }
    result = keepdim ? ones : kept;
  }

  std::int64_t count() const { return reduced.numel(); }

  /// The outputs as the channels of a contiguous input (n, channels, inner), if they lie so.
  std::optional<kernels::BatchNormGeometry> channels() const {
    kernels::BatchNormGeometry g{1, kept.numel(), 1};
    int d = 0;
    const int rank = ones.rank(), before_last = rank - kept.rank();
    for (; d < before_last && is_folded[d]; ++d) g.n *= reduced[d];
    for (int k = 0; k < kept.rank(); ++k, ++d)
      if (is_folded[d]) return std::nullopt;
    for (int r = d - kept.rank(); d < rank; ++d, ++r) g.inner *= reduced[r];
    if (kept.rank() == 0) std::swap(g.n, g.inner);
    return g;
  }

  kernels::ReduceArgs args(const Tensor& x, const Tensor& out) const {
    kernels::ReduceArgs args;
    args.kept = kernels::make_layout(kept, {kept_strides});
    args.reduced = kernels::make_layout(reduced, {reduced_strides});
    args.in = raw(x);
    args.out = raw(out);
    return args;
  }
};

/// `wide`: of 16 bits in float32.
Tensor sum_scaled(const Tensor& x, const Split& split, double scale, bool wide = false) {
  const DType dtype = wide ? computed_dtype(x) : x.dtype();
  Tensor y = make_tensor(split.result, is_floating(dtype) ? dtype : int64, x.device());
  kernels::ReduceArgs args = split.args(x, y);
  args.scale = scale;
  args.wide = wide;
  backend(x).reduce.sum(x.dtype(), args, stream(x));
  return y;
}

/// The gradient of a sum: every element of `shape` gets g.
Tensor spread(const Tensor& g, const Shape& ones, const Shape& shape) {
  return g.reshape(ones).expand(shape);
}

using Launcher = void (*kernels::Reduce::*)(DType, const kernels::ReduceArgs&, kernels::Stream);

Tensor extremum(const char* op, Launcher launcher, const Tensor& x, const Shape& dims, bool keepdim) {
  check_defined(op, x);
  if (is_half_on_cpu(x)) return in_float32(extremum, op, launcher, x, dims, keepdim);
  const Split split(op, x, dims, keepdim);
  check(split.count() > 0 || split.kept.numel() == 0, op, ": nothing to compare in a tensor of shape ",
        x.shape(), " over dims ", dims, "; the reduced dimensions must not be empty");
  Tensor y = make_tensor(split.result, x.dtype(), x.device());
  (backend(x).reduce.*launcher)(x.dtype(), split.args(x, y), stream(x));
  if (recording(x)) {
    autograd::note("ones", split.ones);
    record(op, y, {x}, [x = save(x), y = save_output(y), ones = split.ones, dims](Backward& b) {
      const Tensor input = x.get(b);
      const Tensor hit = input == y.get(b).reshape(ones);
      const Tensor hits = sum(hit, dims, true).to(computed_dtype(input));
      const Tensor share = (widened(b.grad()).reshape(ones) / hits).to(input.dtype());
      b.set(0, where(hit, share, share * 0));  // a NaN, which no element is equal to, gives NaN to all
    });
  }
  return y;
}

}  // namespace

Tensor sum(const Tensor& x, const Shape& dims, bool keepdim) {
  MP_AUTOCAST(sum, x, dims, keepdim);
  check_defined("sum", x);
  if (is_half_on_cpu(x)) return in_float32(MP_OP(sum), x, dims, keepdim);
  const Split split("sum", x, dims, keepdim);
  Tensor y = sum_scaled(x, split, 1);
  if (recording(x)) {
    autograd::note("ones", split.ones);
    record("sum", y, {x},
           [shape = x.shape(), ones = split.ones](Backward& b) { b.set(0, spread(b.grad(), ones, shape)); });
  }
  return y;
}

Tensor mean(const Tensor& input, const Shape& dims, bool keepdim) {
  check_defined("mean", input);
  if (is_half_on_cpu(input)) return in_float32(MP_OP(mean), input, dims, keepdim);
  const Tensor x = to_floating(input);
  const Split split("mean", x, dims, keepdim);
  // 0 * infinity is the NaN of a mean over nothing.
  Tensor y = sum_scaled(x, split, 1.0 / static_cast<double>(split.count()));
  if (recording(x)) {
    autograd::note("ones", split.ones);
    record("mean", y, {x},
           [shape = x.shape(), ones = split.ones, share = share_of(split.count())](Backward& b) {
             b.set(0, spread(b.grad() * share, ones, shape));
           });
  }
  return y;
}

/// The gradient of a product that folds dimensions of x up to `dim` to `ones`: dimension by dimension, from
/// the last one. g has this shape.
static Tensor product_gradient(const Tensor& x, int dim, const Shape& ones, const Tensor& g) {
  const auto folded_below = [&](int d) {
    while (--d >= 0 && ones[d] == x.size(d)) continue;
    return d;
  };
  const int last = folded_below(dim + 1);
  if (last < 0) return g;
  const int next = folded_below(last);
  return products_of_others(x, last, next < 0 ? g : product_gradient(prod(x, {last}, true), next, ones, g));
}

Tensor prod(const Tensor& input, const Shape& dims, bool keepdim) {
  MP_AUTOCAST(prod, input, dims, keepdim);
  check_defined("prod", input);
  if (is_half(input)) return in_float32(MP_OP(prod), input, dims, keepdim);
  const Tensor x = input.is_floating() ? input : input.to(int64);
  const Split split("prod", x, dims, keepdim);
  Tensor y = make_tensor(split.result, x.dtype(), x.device());
  backend(x).reduce.product(x.dtype(), split.args(x, y), stream(x));
  if (recording(x))
    record("prod", y, {x}, [x = save(x), ones = split.ones](Backward& b) {
      const Tensor of = x.get(b);
      b.set(0, product_gradient(of, of.dim() - 1, ones, b.grad().reshape(ones)));
    });
  return y;
}

/// (x - center) factor, both one for each channel: what a batch normalisation computes.
static Tensor scaled_distances(const Tensor& x, const kernels::BatchNormGeometry& channels,
                               const Tensor& center, const Tensor& factor) {
  const Tensor scale = factor.contiguous();
  Tensor y = result_like(x);
  const kernels::BatchNormArgs args{
      .geometry = channels, .x = raw(x), .mean = raw(center), .inv_std = raw(scale)};
  backend(x).norm.batch_normalize(x.dtype(), args, raw(y), stream(x));
  return y;
}

/// `wide`: of 16 bits in float32.
static Tensor variance(const char* op, const Tensor& x, const Shape& dims, bool unbiased, bool keepdim,
                       bool wide) {
  check_floating(op, x);
  if (is_half_on_cpu(x)) return in_float32(variance, op, x, dims, unbiased, keepdim, wide);
  const Split split(op, x, dims, keepdim);
  const std::int64_t freedom = std::max<std::int64_t>(split.count() - (unbiased ? 1 : 0), 0);
  const double scale = 1.0 / static_cast<double>(freedom);
  const Tensor center = sum_scaled(x, split, 1.0 / static_cast<double>(split.count()), true);
  Tensor y = make_tensor(split.result, wide ? computed_dtype(x) : x.dtype(), x.device());
  kernels::ReduceArgs args = split.args(x, y);
  args.center = raw(center);
  args.wide = wide;
  args.scale = scale;
  backend(x).reduce.sum_squares(x.dtype(), args, stream(x));
  if (recording(x))
    record("var", y, {x},
           [x = save(x), dims, ones = split.ones, slope = split.count() == 0 ? 0 : 2 * scale, center,
            channels = split.channels()](Backward& b) {
             const Tensor input = x.get(b), g = widened(b.grad()) * slope;
             if (!b.create_graph() && channels && input.is_contiguous())
               return b.set(0, scaled_distances(input, *channels, center, g));
             const Tensor values = widened(input);
             b.set(0, ((values - mean(values, dims, true)) * g.reshape(ones)).to(input.dtype()));
           });
  return y;
}

Tensor var(const Tensor& x, const Shape& dims, bool unbiased, bool keepdim) {
  return variance("var", x, dims, unbiased, keepdim, false);
}

Tensor std(const Tensor& x, const Shape& dims, bool unbiased, bool keepdim) {
  check_floating("std", x);
  if (is_half_on_cpu(x)) return in_float32(MP_OP(std), x, dims, unbiased, keepdim);
  const Tensor variances = variance("std", x, dims, unbiased, keepdim, true);
  // Where the root has no slope. The variances of nothing are NaN, and so would be the root's slopes.
  const Tensor none = x.numel() == 0 ? isnan(variances) : variances == 0;
  return where(none, variances, sqrt(where(none, 1, variances))).to(x.dtype());
}

Tensor amax(const Tensor& x, const Shape& dims, bool keepdim) {
  return extremum("amax", &kernels::Reduce::amax, x, dims, keepdim);
}

Tensor amin(const Tensor& x, const Shape& dims, bool keepdim) {
  return extremum("amin", &kernels::Reduce::amin, x, dims, keepdim);
}

Tensor argmax(const Tensor& x, std::optional<int> dim, bool keepdim) {
  check_defined("argmax", x);
  if (is_half_on_cpu(x)) return in_float32(MP_OP(argmax), x, dim, keepdim);
  const Split split("argmax", x, dim ? Shape{*dim} : Shape{}, keepdim);
  check(split.count() > 0 || split.kept.numel() == 0, "argmax: nothing to compare in a tensor of shape ",
        x.shape(), "; the reduced dimension must not be empty");
  Tensor y = make_tensor(split.result, int64, x.device());
  backend(x).reduce.argmax(x.dtype(), split.args(x, y), stream(x));
  return y;
}

}  // namespace miniparallel
