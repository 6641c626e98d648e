#pragma once

#include "engine/tensor/tensor_impl.h"

/// On GPUs convolutions on tensor cores write their results, of shape (n, c, h, w) as ever, with the channels
/// innermost: element (n, c, h, w) is at ((n H + h) W + w) C + c. The ops that follow them in a net keep that
/// layout; others read it by its strides like any other. It is the library's own business: a tensor that has
/// it (`TensorImpl::channels_last`) has no views. What would make one, or show its memory, gives it the
/// row-major layout first (`become_row_major`), so that a program sees no difference but in `strides`.
///
/// Only float32, float16 and bfloat16 have it, and only channels that make whole packs of 16 bytes: kernels
/// for it need no others. So do the bool masks of such tensors, which no kernel reads in packs of channels.

namespace miniparallel {

/// Whether a tensor can have it, and it differs from the row-major one.
bool can_be_channels_last(const Shape& shape, DType dtype);

/// A new tensor of that layout where it can have it, else row-major; elements not initialised.
Tensor make_channels_last(const Shape& shape, DType dtype, Device device);

inline Tensor make_laid_out(bool channels_last, const Shape& shape, DType dtype, Device device) {
  return (channels_last ? make_channels_last : make_tensor)(shape, dtype, device);
}

/// Whether x lies as `make_laid_out` would have made it.
bool is_laid_out(bool channels_last, const Tensor& x);

/// The elements of x so laid out, outside of the graph: x itself, or a copy.
Tensor laid_out(bool channels_last, const Tensor& x);

/// Moves the elements of a channels-last tensor to memory where they are row-major. Aliases that a graph has
/// saved keep the old memory. A write, as far as threads are concerned.
void become_row_major(const Tensor& x);

}  // namespace miniparallel
