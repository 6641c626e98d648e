#include "engine/ops/scan.h"

#include "engine/autograd/trace.h"
#include "engine/ops/autocast.h"
#include "engine/ops/common.h"
#include "engine/ops/native_half.h"

#include <algorithm>

// cumsum and cumprod. Both are the recurrence y[i] = factor[i] y[i - 1] + term[i] along a dimension, whose
// gradient is the same recurrence backwards: nothing is divided, so zeros do no harm.

namespace miniparallel {
namespace {

struct Recurrence {
  const char* op;
  int dim;
  double initial;  ///< y[-1]
  bool reverse;    ///< from the last element to the first
};

Tensor run(const Recurrence& how, const Tensor& factor, const Tensor& term);

/// The elements that precede those of `x`: `first`, then all but the last.
Tensor preceding(const Recurrence& how, const Tensor& x, double first) {
  const std::int64_t n = x.size(how.dim);
  Shape edge_shape = x.shape();
  edge_shape[how.dim] = std::min<std::int64_t>(n, 1);
  const Tensor edge = full(edge_shape, first, {.dtype = x.dtype(), .device = x.device()});
  const Tensor others =
      x.narrow(how.dim, how.reverse ? std::min<std::int64_t>(n, 1) : 0, std::max<std::int64_t>(n - 1, 0));
  return how.reverse ? cat({others, edge}, how.dim) : cat({edge, others}, how.dim);
}

/// With G[i] = g[i] + factor[i + 1] G[i + 1] the term has the gradient G, the factor G[i] y[i - 1]. G may be
/// too large for 16 bits where that product is not.
void backward_of(const Recurrence& how, Backward& b, const Tensor& factor, const Tensor& y) {
  const Recurrence back{how.op, how.dim, 0, !how.reverse};
  const bool sums = !factor.defined();
  const Tensor next = sums ? Tensor() : preceding(back, widened(factor), 0);
  const Tensor gradient = run(back, next, sums ? b.grad() : widened(b.grad()));
  if (b.needs(0)) b.set(0, gradient);
  if (b.needs(1)) b.set(1, (gradient * preceding(how, widened(y), how.initial)).to(factor.dtype()));
}

kernels::ScanArgs along(const Shape& shape, int dim) {
  kernels::ScanArgs args;
  for (int d = 0; d < std::ssize(shape); ++d)
    (d < dim ? args.outer : d == dim ? args.n : args.inner) *= shape[d];
  return args;
}

/// Of `factor` and `term` one may be undefined: 1, or 0.
Tensor run(const Recurrence& how, const Tensor& given_factor, const Tensor& given_term) {
  const Tensor factor = given_factor.defined() ? given_factor.contiguous() : given_factor;
  const Tensor term = given_term.defined() ? given_term.contiguous() : given_term;
  const Tensor& like = term.defined() ? term : factor;
  Tensor y = result_like(like);
  kernels::ScanArgs args = along(y.shape(), how.dim);
  args.factor = factor.defined() ? raw(factor) : nullptr;
  args.term = term.defined() ? raw(term) : nullptr;
  args.initial = how.initial;
  args.reverse = how.reverse;
  backend(y).scan.recurrence(y.dtype(), args, raw(y), stream(y));
  if (recording(term, factor)) {
    autograd::note("axis", how.dim);
    autograd::note("reverse", how.reverse);
    record(how.op, y, {term, factor},
           [how, factor = save(factor),
            y = autograd::is_tracked(factor) ? save_output(y) : autograd::Saved()](Backward& b) {
             backward_of(how, b, factor.defined() ? factor.get(b) : Tensor(),
                         y.defined() ? y.get(b) : Tensor());
           });
  }
  return y;
}

/// What is added or multiplied: integers in int64.
Tensor accumulable(const char* op, const Tensor& x) {
  check_defined(op, x);
  if (!x.is_floating()) return x.to(int64);
  check_floating(op, x);
  return x;
}

Tensor cumulated(const char* op, const Tensor& input, int dim, bool product) {
  const Tensor x = accumulable(op, input);
  if (is_half_on_cpu(x)) return in_float32(cumulated, op, x, dim, product);
  const int d = normalize_dim(op, dim, x.dim());
  if (x.dim() == 0) return x.is_same(input) ? x.clone() : x;
  const Recurrence how{op, d, product ? 1.0 : 0.0, false};
  return product ? run(how, x, {}) : run(how, {}, x);
}

}  // namespace

Tensor cumsum(const Tensor& x, int dim) {
  MP_AUTOCAST(cumsum, x, dim);
  return cumulated("cumsum", x, dim, false);
}
Tensor cumprod(const Tensor& x, int dim) {
  MP_AUTOCAST(cumprod, x, dim);
  return cumulated("cumprod", x, dim, true);
}

Tensor products_of_others(const Tensor& input, int dim, const Tensor& gradient) {
  if (recording(input, gradient)) {
    const Recurrence forwards{"cumprod", dim, 1, false}, backwards{"cumprod", dim, 1, true};
    return gradient * preceding(forwards, run(forwards, input, {}), 1) *
           preceding(backwards, run(backwards, input, {}), 1);
  }
  const Tensor x = input.contiguous(), g = gradient.contiguous();
  Tensor dx = result_like(x);
  kernels::ScanArgs args = along(x.shape(), dim);
  args.factor = raw(x);
  backend(x).scan.products_of_others(x.dtype(), args, raw(g), raw(dx), stream(x));
  return dx;
}

}  // namespace miniparallel
