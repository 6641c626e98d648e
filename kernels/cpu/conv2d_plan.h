#pragma once

#include "kernels/conv2d.h"

#include <vector>

namespace miniparallel::kernels::cpu {

/// Destination pixels that read the source through the same taps: result pixel i is the sum over t of
/// source[pixels[i] + taps[t]] times the weights of tap t.
struct ConvPhase {
  std::vector<std::int64_t> pixels;   ///< offsets into the padded image of a group
  std::vector<std::int64_t> taps;     ///< offsets added to a pixel's: channel, row and column of the kernel
  std::vector<std::int64_t> weights;  ///< offset of a tap's weight, for the first destination channel
  std::vector<std::int64_t> out;      ///< the pixels' places in the destination plane; empty: 0, 1, 2, ...
};

/// A convolution as a gather of pixels and taps. Both directions have this
/// form: forward, from x to y, with one phase; and the gradient of the data,
/// from g to dx, with one phase per remainder of the position by the stride.
struct ConvPlan {
  std::int64_t images, groups;
  std::int64_t source_channels, source_h, source_w;  ///< per group
  std::int64_t top, left;                            ///< zeros before the first row and column
  std::int64_t padded_h, padded_w;
  std::int64_t channels, plane;               ///< of the destination, per group
  std::int64_t channel_stride, group_stride;  ///< between the weights of destination channels and of groups
  std::vector<ConvPhase> phases;

  /// Whether the source is read as it is.
  bool direct() const { return top == 0 && left == 0 && padded_h == source_h && padded_w == source_w; }
};

ConvPlan plan_forward(const Conv2dGeometry& geometry);
ConvPlan plan_data_gradient(const Conv2dGeometry& geometry);

}  // namespace miniparallel::kernels::cpu
