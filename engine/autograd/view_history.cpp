#include "engine/autograd/view_history.h"

#include <miniparallel/ops.h>

#include "engine/error.h"
#include "engine/tensor/tensor_impl.h"

namespace miniparallel::autograd {

Tensor make_view(const Tensor& base, const Shape& shape, const Shape& strides, std::int64_t offset) {
  Tensor view = make_alias(base, shape, strides, offset);
  if (grad_enabled())
    view.impl()->base = base.impl()->base ? base.impl()->base : std::make_shared<const Tensor>(base);
  else
    view.impl()->untracked_view = true;  // holds no base, so that exclusive ones can be overwritten
  view.impl()->view_version = base.version();
  return view;
}

ViewGeometry geometry_of(const Tensor& view) {
  const TensorImpl& impl = *view.impl();
  const TensorImpl& base = *impl.base->impl();
  check(base.contiguous, "a view of shape ", impl.shape,
        " is written where gradients flow, but its base is not contiguous; write to a clone() of the base");
  return {impl.shape, impl.strides, impl.offset - base.offset};
}

Tensor ViewGeometry::of(const Tensor& whole) const {
  const Tensor plain = whole.contiguous();
  return record_view(
      "part", plain, shape, strides, plain.impl()->offset + offset,
      [where = *this, from = plain.shape()](const Tensor& g) { return paste(g, from, where); });
}

Tensor paste(const Tensor& piece, const Shape& shape, const ViewGeometry& where) {
  Tensor whole = zeros(shape, {.dtype = piece.dtype(), .device = piece.device()});
  {
    const NoGradGuard no_grad;
    Tensor sum = piece;  // an element that the view repeats gets what arrives at all its places
    for (int d = 0; d < piece.dim(); ++d)
      if (where.strides[d] == 0 && piece.size(d) > 1) sum = miniparallel::sum(sum, {d}, true);
    make_alias(whole, sum.shape(), where.strides, where.offset).copy_(sum);
  }
  if (recording(piece))
    record("paste", whole, {piece}, [where](Backward& b) { b.set(0, where.of(b.grad())); });
  return whole;
}

bool has_to_follow_base(const Tensor& tensor) {
  const TensorImpl& impl = *tensor.impl();
  return impl.base && impl.version->last_recorded.load(std::memory_order_relaxed) > impl.view_version &&
         is_tracked(*impl.base);
}

void follow_base(const Tensor& tensor) {
  if (!tensor.defined() || !has_to_follow_base(tensor)) return;
  const Tensor base = *tensor.impl()->base;
  const ViewGeometry where = geometry_of(tensor);
  record(kFollowsBase, tensor, {base},
         [where, from = base.shape()](Backward& b) { b.set(0, paste(b.grad(), from, where)); });
  tensor.impl()->view_version = base.version();
}

}  // namespace miniparallel::autograd
