#include "engine/ops/autocast.h"
#include "engine/ops/elementwise.h"
#include "engine/ops/in_place.h"

// The ops of the list of ternary functions in kernels/elementwise.h.

namespace miniparallel {
namespace {

using kernels::Ternary;

template <class F>
void record_ternary(const char* op, Tensor& y, const Tensor& a, const Tensor& b, const Tensor& c, double p) {
  const bool c_is_tracked = autograd::is_tracked(c);
  record(op, y, {a, b, c},
         [=, dtype = y.dtype(), shape_a = a.shape(), shape_b = b.shape(), shape_c = c.shape(),
          saved_a = F::saves_a && c_is_tracked ? save(a) : autograd::Saved(),
          saved_b = c_is_tracked ? save(b) : autograd::Saved(), saved_c = save(c)](Backward& backward) {
           const Tensor g = widened(backward.grad()), z = widened(saved_c.get(backward));
           const Tensor x = saved_a.defined() ? widened(saved_a.get(backward)) : g;
           const Tensor w = saved_b.defined() ? widened(saved_b.get(backward)) : g;
           const auto hand_over = [&](int input, const Tensor& gradient, const Shape& shape) {
             backward.set(input, sum_to(gradient, shape).to(dtype));
           };
           if (backward.needs(0)) hand_over(0, F::backward_a(g, x, w, z, p), shape_a);
           if (backward.needs(1)) hand_over(1, F::backward_b(g, x, w, z, p), shape_b);
           if (backward.needs(2)) hand_over(2, F::backward_c(g, x, w, z, p), shape_c);
         });
}

template <class F>
Tensor ternary(Ternary function, const char* op, const Tensor& a, const Tensor& b, const Tensor& c,
               double p = 0) {
  for (const Tensor* operand : {&a, &b, &c}) check_floating(op, *operand);
  check_same_device(op, {a, b, c});
  check_same_dtype(op, {a, b, c});
  const Shape shape = broadcast_shapes(op, broadcast_shapes(op, a.shape(), b.shape()), c.shape());
  Tensor y = make_elementwise(shape, a.dtype(), {a, b, c});
  kernels::ElementwiseArgs args = elementwise_args({y, a, b, c});
  args.p = p;
  backend(y).elementwise.ternary(function, y.dtype(), args, stream(y));
  if (recording(a, b, c)) record_ternary<F>(op, y, a, b, c, p);
  return y;
}

}  // namespace

Tensor addcmul(const Tensor& x, const Tensor& a, const Tensor& b, Scalar value) {
  MP_AUTOCAST(addcmul, x, a, b, value);
  return ternary<kernels::functors::Addcmul>(Ternary::addcmul, "addcmul", x, a, b, value.as_double());
}
Tensor addcdiv(const Tensor& x, const Tensor& a, const Tensor& b, Scalar value) {
  MP_AUTOCAST(addcdiv, x, a, b, value);
  return ternary<kernels::functors::Addcdiv>(Ternary::addcdiv, "addcdiv", x, a, b, value.as_double());
}
Tensor& Tensor::addcmul_(const Tensor& a, const Tensor& b, Scalar value) {
  const Tensor sum =
      ternary<kernels::functors::Addcmul>(Ternary::addcmul, "addcmul_", *this, a, b, value.as_double());
  return copy_into("addcmul_", *this, sum);
}
Tensor& Tensor::addcdiv_(const Tensor& a, const Tensor& b, Scalar value) {
  const Tensor sum =
      ternary<kernels::functors::Addcdiv>(Ternary::addcdiv, "addcdiv_", *this, a, b, value.as_double());
  return copy_into("addcdiv_", *this, sum);
}
Tensor lerp(const Tensor& start, const Tensor& end, const Tensor& weight) {
  return ternary<kernels::functors::Lerp>(Ternary::lerp, "lerp", start, end, weight);
}
Tensor lerp(const Tensor& start, const Tensor& end, Scalar weight) {
  check_floating("lerp", start);
  check_same_dtype("lerp", {start, end});
  if (is_half(start)) return in_float32(MP_OP(lerp), start, end, weight);
  return lerp(start, end, number_like("lerp", weight, start));
}

}  // namespace miniparallel
