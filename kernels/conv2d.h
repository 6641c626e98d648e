#pragma once

#include <miniparallel/dtype.h>

#include "kernels/destination.h"
#include "kernels/sizes.h"
#include "kernels/stream.h"

#include <cstdint>

namespace miniparallel::kernels {

/// Sizes of one convolution. x (n, in_channels, in_h, in_w), weight (out_channels, in_channels / groups,
/// kernel_h, kernel_w), y (n, out_channels, out_h, out_w), all row-major; group i takes the i-th part of the
/// channels on both sides.
///
/// On GPUs x and y, with their gradients, may also be channels-last: (n, in_h, in_w, in_channels) and so on.
/// A weight that is read is then packed if `packs_weight`: with the channels innermost that a sum runs over,
/// (out_channels, kernel_h, kernel_w, in_channels / groups), and for the gradient of x group by group
/// (in_channels, kernel_h, kernel_w, out_channels / groups). With few filters in a group these are innermost:
/// (in_channels / groups, kernel_h, kernel_w, out_channels), and for the gradient of x, whose channels are
/// filters then, (out_channels / groups, kernel_h, kernel_w, in_channels). Its gradient never is.
struct Conv2dGeometry {
  std::int64_t n, in_channels, in_h, in_w;
  std::int64_t out_channels, out_h, out_w;
  std::int64_t kernel_h, kernel_w;
  std::int64_t stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w;
  std::int64_t groups;
  bool x_channels_last = false, y_channels_last = false, packs_weight = false;
};
inline Sizes sizes(const Conv2dGeometry& g) {
  return {"n in_channels in_h in_w out_channels kernel_h kernel_w stride groups",
          {g.n, g.in_channels, g.in_h, g.in_w, g.out_channels, g.kernel_h, g.kernel_w, g.stride_h, g.groups}};
}

/// With no more filters in a group the tiles of a product are mostly idle: each result is summed directly.
inline constexpr std::int64_t kFewFilters = 4;

/// dtype: float32 or float64; on a GPU also float16, and bfloat16 with code for compute capability 8.0,
/// summed in float32, each result rounded once. Nothing may alias.
struct Conv2d {
  /// y = x * weight + bias; bias (out_channels) or null.
  void (*forward)(DType dtype, const Conv2dGeometry& geometry, const void* x, const void* weight,
                  const void* bias, void* y, Stream stream);
  /// The gradient of x for the gradient g of y.
  void (*data_gradient)(DType dtype, const Conv2dGeometry& geometry, const void* g, const void* weight,
                        Destination dx, Stream stream);
  /// The gradients of weight and bias, in one pass over g.
  void (*weight_gradient)(DType dtype, const Conv2dGeometry& geometry, const void* g, const void* x,
                          Destination dweight, Destination dbias, Stream stream);
};

}  // namespace miniparallel::kernels
