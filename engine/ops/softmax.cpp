#include "engine/autograd/trace.h"
#include "engine/ops/autocast.h"
#include "engine/ops/common.h"
#include "engine/ops/native_half.h"

namespace miniparallel {
namespace {

kernels::SoftmaxArgs softmax_args(const Tensor& x, int dim, bool log) {
  kernels::SoftmaxArgs args{.outer = 1, .n = 1, .inner = 1, .log = log};
  for (int d = 0; d < x.dim(); ++d) (d < dim ? args.outer : d == dim ? args.n : args.inner) *= x.shape()[d];
  return args;
}

/// The gradient of the input, of differentiable ops.
Tensor composed_backward(bool log, const Tensor& g, const Tensor& y, int dim) {
  const Shape dims = y.dim() == 0 ? Shape{} : Shape{dim};
  return log ? g - exp(y) * sum(g, dims, true) : y * (g - sum(g * y, dims, true));
}

Tensor softmax_or_log(const char* op, const Tensor& input, int dim, bool log) {
  check_defined(op, input);
  check_floating(op, input);
  if (is_half_on_cpu(input)) return in_float32(softmax_or_log, op, input, dim, log);
  const int axis = normalize_dim(op, dim, input.dim());
  const Tensor x = input.contiguous();
  Tensor y = result_like(x);
  const kernels::SoftmaxArgs args = softmax_args(x, axis, log);
  backend(x).softmax.forward(x.dtype(), args, raw(x), raw(y), stream(x));
  if (recording(x)) {
    autograd::note("axis", axis);
    record(op, y, {x}, [y = save_output(y), args, axis, log](Backward& b) {
      const Tensor result = y.get(b);
      if (b.create_graph()) {
        const Tensor dx = composed_backward(log, widened(b.grad()), widened(result), axis);
        return b.set(0, dx.to(result.dtype()));
      }
      const Tensor g = b.grad().contiguous();
      const Tensor dx = result_like(g);
      backend(g).softmax.backward(g.dtype(), args, raw(g), raw(result), raw(dx), stream(g));
      b.set(0, dx);
    });
  }
  return y;
}

}  // namespace

Tensor softmax(const Tensor& x, int dim) {
  MP_AUTOCAST(softmax, x, dim);
  return softmax_or_log("softmax", x, dim, false);
}

Tensor softmin(const Tensor& x, int dim) {
  MP_AUTOCAST(softmin, x, dim);
  check_floating("softmin", x);
  return softmax_or_log("softmin", neg(x), dim, false);
}

Tensor log_softmax(const Tensor& x, int dim) {
  MP_AUTOCAST(log_softmax, x, dim);
  return softmax_or_log("log_softmax", x, dim, true);
}

}  // namespace miniparallel
