#include "engine/tensor/channels_last.h"

#include <miniparallel/autograd.h>

namespace miniparallel {
namespace {

Shape channels_last_strides(const Shape& s) { return {s[1] * s[2] * s[3], 1, s[1] * s[3], s[1]}; }

}  // namespace

bool can_be_channels_last(const Shape& shape, DType dtype) {
  const bool is_mask = dtype == boolean;
  if (shape.rank() != 4 || (dtype != float32 && dtype != float16 && dtype != bfloat16 && !is_mask))
    return false;
  const std::int64_t pack = is_mask ? 4 : 16 / static_cast<std::int64_t>(size_of(dtype));
  return shape[1] % pack == 0 && shape[2] * shape[3] > 1 && shape.numel() > 0;
}

Tensor make_channels_last(const Shape& shape, DType dtype, Device device) {
  Tensor made = make_tensor(shape, dtype, device);
  if (!can_be_channels_last(shape, dtype)) return made;
  TensorImpl& impl = *made.impl();
  impl.strides = channels_last_strides(shape);
  impl.contiguous = false;
  impl.channels_last = true;
  return made;
}

bool is_laid_out(bool channels_last, const Tensor& x) {
  return channels_last && can_be_channels_last(x.shape(), x.dtype()) ? x.impl()->channels_last
                                                                     : x.impl()->contiguous;
}

Tensor laid_out(bool channels_last, const Tensor& x) {
  if (is_laid_out(channels_last, x)) return x;
  const NoGradGuard no_grad;
  Tensor copy = make_laid_out(channels_last, x.shape(), x.dtype(), x.device());
  copy.copy_(x);
  return copy;
}

void become_row_major(const Tensor& x) {
  if (!impl_of(x).channels_last) return;
  const Tensor plain = laid_out(false, make_alias(x));
  const TensorImpl& from = *plain.impl();
  TensorImpl& impl = *x.impl();
  if (impl.version.use_count() == (impl.version.get() == &impl.storage->version() ? 2 : 1)) {
    // Nobody else counts the writes: the old memory can go, with the counter that is part of it.
    from.version->writes = impl.version->writes.load();
    from.version->last_recorded = impl.version->last_recorded.load();
    from.version->exact_of = impl.version->exact_of;
    impl.version = from.version;
  }
  impl.storage = from.storage;
  impl.offset = from.offset;
  impl.strides = from.strides;
  impl.contiguous = true;
  impl.channels_last = false;
}

}  // namespace miniparallel
