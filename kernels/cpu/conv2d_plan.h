#pragma once

#include "kernels/conv2d.h"

#include <vector>

namespace miniparallel::kernels::cpu {

/// From one number to before another.
struct Interval {
  std::int64_t begin, end;
};

/// The taps of one row of the kernel, and the pixels for which they read the source, not its border.
struct ConvTaps {
  Interval taps, pixels;
};

/// Destination pixels that read the source through the same taps: result pixel i is the sum over t of
/// source[pixels[i] + taps[t]] times the weights of tap t.
struct ConvPhase {
  std::vector<std::int64_t> pixels;   ///< offsets into the padded image of a group
  std::vector<std::int64_t> taps;     ///< offsets added to a pixel's: row of the kernel, channel and column
  std::vector<ConvTaps> rows;         ///< all taps, row by row of the kernel
  std::vector<std::int64_t> weights;  ///< offset of a tap's weight, for the first destination channel
  std::vector<std::int64_t> out;      ///< the pixels' places in the destination plane; empty: 0, 1, 2, ...

  std::int64_t tap_count() const { return static_cast<std::int64_t>(taps.size()); }
  std::int64_t pixel_count() const { return static_cast<std::int64_t>(pixels.size()); }
  /// The taps that read the source for pixel `first`, which are neighbours, and the pixels from it on of
  /// which the same is true.
  ConvTaps run_from(std::int64_t first) const;
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
