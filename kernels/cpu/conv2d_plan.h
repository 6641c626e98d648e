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
/// source[pixels[i] + taps[t]] times the weights of tap t. With lanes, a pixel stands for as many neighbours
/// in its row, which are neighbours in the padded image too.
struct ConvPhase {
  std::vector<std::int64_t> pixels;   ///< offsets into the padded image of a group
  std::vector<std::int64_t> out;      ///< their places in the destination plane, in ascending order
  std::vector<std::int64_t> counts;   ///< how many neighbours there are: less than lanes at the end of a row
  std::int64_t step = 1;              ///< between the places of neighbours
  std::int64_t row_pixels = 0;        ///< of pixels whose places are `step` apart
  std::int64_t first_tap = 0;         ///< how many taps the phases before it have
  std::vector<std::int64_t> taps;     ///< offsets added to a pixel's: row of the kernel, channel and column
  std::vector<ConvTaps> rows;         ///< all taps, row by row of the kernel
  std::vector<std::int64_t> weights;  ///< offset of a tap's weight, for the first destination channel

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
  std::int64_t split = 1;  ///< a row has its columns 0, split, 2 split, ... first, then 1, ...
  bool direct = false;     ///< whether the source is read as it is
  std::int64_t row_step = 0, channel_step = 0;
  std::int64_t channels, plane;               ///< of the destination, per group
  std::int64_t channel_stride, group_stride;  ///< between the weights of destination channels and of groups
  std::int64_t together = 1;                  ///< phases that take turns in a row of the destination
  std::vector<ConvPhase> phases;

  /// Chooses `direct` and the steps.
  void lay_out();
  /// Adds up the phases' taps.
  void number_taps();
  std::int64_t tap_count() const { return phases.back().first_tap + phases.back().tap_count(); }
};

/// `lanes` pixels are read and written at a time.
ConvPlan plan_forward(const Conv2dGeometry& geometry, std::int64_t lanes = 1);
ConvPlan plan_data_gradient(const Conv2dGeometry& geometry, std::int64_t lanes = 1);

/// The group's channels of one image as the plan's padded image; the source itself where it is the same.
/// T: float or double. Valid until the thread's next call.
template <class T>
const T* padded(const ConvPlan& plan, const T* source);

}  // namespace miniparallel::kernels::cpu
