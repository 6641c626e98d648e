#include "engine/autograd/trace.h"
#include "engine/ops/autocast.h"
#include "engine/ops/common.h"
#include "engine/ops/native_half.h"
#include "engine/ops/split.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace miniparallel {
namespace {

constexpr const char* kName = "scaled_dot_product_attention";

/// The softmax's inputs besides q and k.
struct Scoring {
  Tensor mask;
  bool causal;
  double scale;
};

Shape leading(const Tensor& x) { return {x.shape().begin(), x.shape().end() - 2}; }

/// The shape to which the leading dimensions of all three broadcast.
Shape common_batch(const Tensor& q, const Tensor& k, const Tensor& v) {
  std::optional<Shape> batch = broadcast_sizes(leading(q), leading(k));
  if (batch) batch = broadcast_sizes(*batch, leading(v));
  check(batch.has_value(), kName, ": the leading dimensions of q ", q.shape(), ", k ", k.shape(), " and v ",
        v.shape(), " do not broadcast; their sizes must be equal or 1");
  return *batch;
}

Shape with_matrix(Shape batch, std::int64_t rows, std::int64_t columns) {
  batch.push_back(rows);
  batch.push_back(columns);
  return batch;
}

void check_arguments(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask) {
  for (const Tensor* x : {&q, &k, &v}) {
    check_defined(kName, *x);
    check_floating(kName, *x);
    check(x->dim() >= 2, kName, ": got shape ", x->shape(), "; q, k and v need at least two dimensions");
  }
  check_same_device(kName, {q, k, v, mask});
  check_same_dtype(kName, {q, k, v});
  check(q.size(-1) == k.size(-1), kName, ": q ", q.shape(), " and k ", k.shape(),
        " differ in their last size; both must be the width of a head");
  check(k.size(-2) == v.size(-2), kName, ": k ", k.shape(), " and v ", v.shape(),
        " differ in the number of rows; every key needs one value");
  check(!mask.defined() || mask.dtype() == boolean || mask.dtype() == q.dtype(), kName, ": mask has dtype ",
        mask.defined() ? mask.dtype() : boolean, "; it must be bool or ", q.dtype());
}

/// True where row i may see column j; undefined when everything is seen.
Tensor visible(const Tensor& q, const Tensor& k, const Scoring& scoring) {
  const bool has_mask = scoring.mask.defined() && scoring.mask.dtype() == boolean;
  if (!scoring.causal) return has_mask ? scoring.mask : Tensor();
  const Tensor rows = arange(q.size(-2), {.device = q.device()}).unsqueeze(1);
  const Tensor below = arange(k.size(-2), {.device = q.device()}) <= rows;
  return has_mask ? logical_and(scoring.mask, below) : below;
}

/// softmax(q k^T scale + mask) of differentiable ops. Hidden scores get a large finite value and their
/// probabilities are cleared afterwards, so that a row that sees nothing gives zeros.
Tensor probabilities(const Tensor& q, const Tensor& k, const Scoring& scoring) {
  Tensor scores = matmul(q * scoring.scale, k.transpose(-2, -1));
  if (scoring.mask.defined() && scoring.mask.dtype() != boolean) scores = scores + scoring.mask;
  const Tensor seen = visible(q, k, scoring);
  if (!seen.defined()) return softmax(scores, -1);
  const Tensor hidden = logical_not(seen);
  return masked_fill(softmax(masked_fill(scores, hidden, -1e30), -1), hidden, 0);
}

/// Rows as plain arrays: as it is where they are, else a copy.
Tensor with_plain_rows(const Tensor& x) {
  const bool plain = x.strides()[x.dim() - 1] == 1 || x.size(-1) <= 1;
  return plain && x.strides()[x.dim() - 2] >= x.size(-1) ? x : x.contiguous();
}

kernels::MatrixBatch matrices_of(const Tensor& x) {
  kernels::MatrixBatch batch{.data = raw(x), .stride = x.strides()[x.dim() - 2]};
  std::copy_n(x.strides().begin(), x.dim() - 2, batch.steps);
  return batch;
}

/// A tensor of rows of `width`, not initialised, in the same memory order as those of `like`: with heads
/// side by side where `like` is a view of such.
Tensor make_ordered_like(const Tensor& like, std::int64_t width) {
  Shape shape = like.shape(), strides = shape;
  shape[shape.rank() - 1] = width;
  Shape order;  // of the dimensions, outermost first; those that repeat stay outside
  for (int d = 0; d < shape.rank(); ++d) order.push_back(d);
  const auto step = [&](std::int64_t d) {
    const std::int64_t stride = like.strides()[static_cast<int>(d)];
    return stride == 0 ? std::numeric_limits<std::int64_t>::max() : stride;
  };
  std::sort(order.begin(), order.end() - 1,
            [&](std::int64_t a, std::int64_t b) { return step(a) != step(b) ? step(a) > step(b) : a < b; });
  std::int64_t stride = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    const int d = static_cast<int>(order[i]);
    strides[d] = stride;
    stride *= std::max<std::int64_t>(shape[d], 1);
  }
  return make_alias(make_tensor(shape, like.dtype(), like.device()), shape, strides, 0);
}

/// q, k, v with the same leading dimensions and plain rows; the mask seen with the shape of the scores.
struct Operands {
  Tensor q, k, v;
  Scoring scoring;

  kernels::AttentionArgs args(const Tensor& out, const Tensor& log_sums) const {
    kernels::AttentionArgs args;
    args.n = q.size(-2);
    args.m = k.size(-2);
    args.e = q.size(-1);
    args.ev = v.size(-1);
    const Shape batch = leading(q);
    args.batch_rank = batch.rank();
    std::copy(batch.begin(), batch.end(), args.batch);
    args.matrices = batch.numel();
    args.q = matrices_of(q);
    args.k = matrices_of(k);
    args.v = matrices_of(v);
    args.out = matrices_of(out);
    args.log_sums = raw(log_sums);
    args.causal = scoring.causal;
    args.scale = scoring.scale;
    if (!scoring.mask.defined()) return args;
    args.mask = raw(scoring.mask);
    args.mask_is_bool = scoring.mask.dtype() == boolean;
    const Shape strides = broadcast_strides(scoring.mask, with_matrix(batch, args.n, args.m));
    std::copy_n(strides.begin(), batch.rank(), args.mask_steps);
    std::copy_n(strides.end() - 2, 2, args.mask_strides);
    return args;
  }
};

void fused_backward(Backward& b, const Operands& in, const Tensor& out, const Tensor& log_sums) {
  const Tensor g = with_plain_rows(b.grad());
  const Tensor row_products = result_like(log_sums);
  const Tensor inputs[] = {in.q, in.k, in.v};
  std::vector<Tensor> gradients = make_parts_like(inputs);
  for (int i = 0; gradients.size() < 3; ++i)
    gradients.push_back(make_ordered_like(inputs[i], inputs[i].size(-1)));
  backend(g).attention.backward(g.dtype(), in.args(out, log_sums),
                                {.g = matrices_of(g),
                                 .dq = matrices_of(gradients[0]),
                                 .dk = matrices_of(gradients[1]),
                                 .dv = matrices_of(gradients[2]),
                                 .row_products = raw(row_products)},
                                stream(g));
  for (int i = 0; i < 3; ++i) b.set(i, std::move(gradients[static_cast<std::size_t>(i)]));
}

void composed_backward(Backward& b, const Operands& in) {
  const Tensor q = widened(in.q), k = widened(in.k), v = widened(in.v), g = widened(b.grad());
  const Tensor p = probabilities(q, k, {widened(in.scoring.mask), in.scoring.causal, in.scoring.scale});
  const Tensor dp = matmul(g, v.transpose(-2, -1));
  const Tensor ds = p * (dp - sum(p * dp, {-1}, true)) * in.scoring.scale;
  const auto set = [&](int i, const Tensor& gradient) { b.set(i, gradient.to(in.q.dtype())); };
  if (b.needs(0)) set(0, matmul(ds, k));
  if (b.needs(1)) set(1, matmul(ds.transpose(-2, -1), q));
  if (b.needs(2)) set(2, matmul(p.transpose(-2, -1), g));
}

Tensor fused(const Operands& in) {
  Tensor y = make_ordered_like(in.q, in.v.size(-1));
  const Tensor log_sums = make_tensor({leading(in.q).numel(), in.q.size(-2)}, computed_dtype(y), y.device());
  backend(y).attention.forward(y.dtype(), in.args(y, log_sums), stream(y));
  if (recording(in.q, in.k, in.v)) {
    autograd::note("mask", in.scoring.mask);
    autograd::note("causal", in.scoring.causal);
    autograd::note("scale", in.scoring.scale);
    record(kName, y, {in.q, in.k, in.v},
           [q = save(in.q), k = save(in.k), v = save(in.v), mask = save(in.scoring.mask),
            causal = in.scoring.causal, scale = in.scoring.scale, y = save_output(y), log_sums](Backward& b) {
             const Operands again{q.get(b), k.get(b), v.get(b), {mask.get(b), causal, scale}};
             b.create_graph() ? composed_backward(b, again) : fused_backward(b, again, y.get(b), log_sums);
           });
  }
  return y;
}

/// With a dimension for the queries that share a head of keys, to which k and v broadcast.
Tensor grouped(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
               AttentionOptions options) {
  check(q.dim() >= 3 && k.dim() >= 3 && v.dim() >= 3, kName, ": with enable_gqa q ", q.shape(), ", k ",
        k.shape(), " and v ", v.shape(), " need a dimension of heads, (..., heads, n, width)");
  const std::int64_t heads = k.size(-3), queries = q.size(-3);
  check(heads > 0 && queries % heads == 0 && v.size(-3) == heads, kName,
        ": with enable_gqa the heads of k and v, ", heads, " and ", v.size(-3),
        ", must be equal and divide those of q, ", queries);
  const auto split = [&](const Tensor& x) {
    if (!x.defined() || x.dim() < 3) return x;
    return x.size(-3) == queries ? x.unflatten(-3, {heads, queries / heads}) : x.unsqueeze(-3);
  };
  options.enable_gqa = false;
  const Tensor y = scaled_dot_product_attention(q.unflatten(-3, {heads, queries / heads}), k.unsqueeze(-3),
                                                v.unsqueeze(-3), split(mask), options);
  return y.flatten(-4, -3);
}

}  // namespace

Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                                    const AttentionOptions& options) {
  MP_AUTOCAST(scaled_dot_product_attention, q, k, v, mask, options);
  check_arguments(q, k, v, mask);
  if (options.enable_gqa) return grouped(q, k, v, mask, options);
  check(options.dropout >= 0 && options.dropout <= 1, kName, ": dropout is ", options.dropout,
        "; it must be in [0, 1]");
  const Shape batch = common_batch(q, k, v);
  const Shape scores = with_matrix(batch, q.size(-2), k.size(-2));
  check(!mask.defined() || broadcast_shapes(kName, mask.shape(), scores) == scores, kName, ": mask of shape ",
        mask.defined() ? mask.shape() : Shape{}, " does not broadcast to the scores' shape ", scores,
        "; its sizes must be equal or 1");
  const bool composed = options.dropout > 0 || recording(mask);
  if (is_half_on_cpu(q) || (composed && is_half(q)))
    return in_float32(MP_OP(scaled_dot_product_attention), q, k, v, mask, options);
  const double width = static_cast<double>(q.size(-1));
  const Scoring scoring{mask, options.causal, options.scale.value_or(1 / std::sqrt(width))};
  if (composed) return matmul(dropout(probabilities(q, k, scoring), options.dropout), v);
  const auto operand = [&](const Tensor& x) {
    return with_plain_rows(x.expand(with_matrix(batch, x.size(-2), x.size(-1))));
  };
  return fused({operand(q), operand(k), operand(v), scoring});
}

Tensor rope(const Tensor& x, const RopeOptions& options) try {
  check_floating("rope", x);
  check(x.dim() >= 2 && x.size(-1) % 2 == 0, "rope: got shape ", x.shape(),
        "; it must be (..., n, width) with an even width");
  check(options.base > 0, "rope: base is ", options.base, "; it must be above 0");
  if (is_half(x)) return in_float32(MP_OP(rope), x, options);
  const std::int64_t n = x.size(-2), pairs = x.size(-1) / 2;
  const Tensor position =
      arange(options.offset, options.offset + n, 1, {.dtype = float64, .device = x.device()});
  const Tensor frequency = pow(options.base, arange(pairs, {.dtype = float64, .device = x.device()}) *
                                                 (-1.0 / static_cast<double>(pairs)));
  const Tensor angle = position.unsqueeze(1) * frequency;  // in float64: far positions keep their digits
  const Tensor cosine = cos(angle).to(x.dtype()), sine = sin(angle).to(x.dtype());
  const int pair = options.interleaved ? -1 : -2;  // the dimension of both members
  const Tensor split = x.unflatten(-1, options.interleaved ? Shape{pairs, 2} : Shape{2, pairs});
  const Tensor a = split.select(pair, 0), b = split.select(pair, 1);
  return stack({a * cosine - b * sine, a * sine + b * cosine}, pair).flatten(-2, -1);
} catch (const Error& error) {
  rethrow_as("rope", error);
}

}  // namespace miniparallel
