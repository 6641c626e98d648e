#pragma once

#include "kernels/conv2d.h"
#include "kernels/cuda/device/divider.cuh"

#include <vector>

// Forward and the gradient of the data are the same sum with other numbers, which this file names:
//
//   out[image, filter, position] = sum over channels and taps of
//       weight[filter, channel, tap] * source[image, channel, what the tap reads for the position]
//
// The gradient of the weight multiplies `out` and `source` instead, and sums over images and positions.

namespace miniparallel::kernels::cuda {

/// One dimension. Position i and tap t read source element first + i step
/// + t tap_step, nothing outside of it; the result is element out_first
/// + i out_step; t is the weight's element weight_first + t weight_step.
struct GemmAxis {
  int positions, taps, size;
  int first, step, tap_step;
  int out_first, out_step;
  int weight_first, weight_step;
};

/// Within a group: `channels` of the source are read, `filters` of the result made.
struct ImplicitGemm {
  GemmAxis rows, columns;
  Divider plane_positions, row_positions, taps, row_taps;
  std::uint32_t images, groups, channels, filters;
  // From one pixel to the next, and so on: a row, a channel, an image.
  std::int64_t source_pixel, source_width, source_plane, source_image;
  std::int64_t out_pixel, out_width, out_plane, out_image;
  std::int64_t weight_group, weight_filter, weight_channel, weight_width, weight_pixel;

  MP_INLINE std::uint32_t depth() const {
    return channels * static_cast<std::uint32_t>(rows.taps * columns.taps);
  }
  std::int64_t plane() const { return std::int64_t{rows.positions} * columns.positions; }
  std::int64_t positions() const { return images * plane(); }
};

/// Throws where a size is beyond the 32 bits in which kernels count positions and taps.
void check_sizes(const Conv2dGeometry& geometry);

/// The sum that is conv2d's result.
ImplicitGemm forward_gemm(const Conv2dGeometry& geometry);

/// The sums that together are the gradient of the data: elements a stride apart share the taps that reach
/// them, so that no sum has gaps. The largest come first.
std::vector<ImplicitGemm> data_gradient_gemms(const Conv2dGeometry& geometry);

/// Calls run(gemm, first image) for parts of the batch
/// in which `per_image` items each number less than 2^31.
template <class F>
void for_each_part(const ImplicitGemm& whole, std::int64_t per_image, const F& run) {
  const std::int64_t limit = (std::int64_t{1} << 31) - 1024;
  const std::int64_t most = per_image > limit ? 1 : limit / (per_image > 0 ? per_image : 1);
  std::int64_t first = 0;
  do {
    ImplicitGemm part = whole;
    part.images = static_cast<std::uint32_t>(whole.images - first < most ? whole.images - first : most);
    run(part, first);
    first += part.images;
  } while (first < whole.images);
}

// --- in kernels

/// A coordinate that stays outside of every source when another coordinate, or this one, is added.
constexpr int kNowhere = -(1 << 30);

/// Where a position begins to read and where its result goes: an offset within the batch, without filter.
struct Position {
  std::int64_t source, out;
  int row, column;  // in the source, before a tap is added
};

/// The step from a position to one tap of a channel.
struct alignas(16) Tap {
  int row, column;
  std::int64_t offset;
};

/// Position (i, j) of an image, for a group.
MP_INLINE Position position_of(const ImplicitGemm& gemm, std::uint32_t image, int i, int j,
                               std::uint32_t group) {
  const int row = gemm.rows.first + i * gemm.rows.step;
  const int column = gemm.columns.first + j * gemm.columns.step;
  const int out_row = gemm.rows.out_first + i * gemm.rows.out_step;
  const int out_column = gemm.columns.out_first + j * gemm.columns.out_step;
  return {image * gemm.source_image + group * (gemm.channels * gemm.source_plane) + row * gemm.source_width +
              column * gemm.source_pixel,
          image * gemm.out_image + group * (gemm.filters * gemm.out_plane) + out_row * gemm.out_width +
              out_column * gemm.out_pixel,
          row, column};
}

/// Position `index` of all images, image by image, for a group. One beyond the last reads nothing.
MP_INLINE Position position_at(const ImplicitGemm& gemm, std::uint32_t index, std::uint32_t group) {
  std::uint32_t image = index;
  std::uint32_t i = gemm.plane_positions.divide(image);
  const int j = static_cast<int>(gemm.row_positions.divide(i));
  if (image >= gemm.images) return {0, -1, kNowhere, kNowhere};
  return position_of(gemm, image, static_cast<int>(i), j, group);
}

/// Tap `index` of all channels, channel by channel. One beyond the last reads nothing.
MP_INLINE Tap tap_at(const ImplicitGemm& gemm, std::uint32_t index) {
  std::uint32_t channel = index;
  std::uint32_t i = gemm.taps.divide(channel);
  const std::uint32_t j = gemm.row_taps.divide(i);
  if (channel >= gemm.channels) return {kNowhere, kNowhere, 0};
  const int row = static_cast<int>(i) * gemm.rows.tap_step;
  const int column = static_cast<int>(j) * gemm.columns.tap_step;
  return {row, column, channel * gemm.source_plane + row * gemm.source_width + column * gemm.source_pixel};
}

/// Where tap `index` is in the weights of a filter.
MP_INLINE std::int64_t weight_at(const ImplicitGemm& gemm, std::uint32_t index) {
  std::uint32_t channel = index;
  std::uint32_t i = gemm.taps.divide(channel);
  const int j = static_cast<int>(gemm.row_taps.divide(i));
  const int row = gemm.rows.weight_first + static_cast<int>(i) * gemm.rows.weight_step;
  return channel * gemm.weight_channel + row * gemm.weight_width +
         (gemm.columns.weight_first + j * gemm.columns.weight_step) * gemm.weight_pixel;
}

/// The element that a tap reads for a position, whose element of the source is `at`.
template <class T>
MP_INLINE T read(const ImplicitGemm& gemm, const T* at, int row, int column, const Tap& tap) {
  // Both are compared, so that they are read in one access.
  const bool inside = (static_cast<unsigned>(row + tap.row) < static_cast<unsigned>(gemm.rows.size)) &
                      (static_cast<unsigned>(column + tap.column) < static_cast<unsigned>(gemm.columns.size));
  return inside ? at[tap.offset] : T(0);
}

}  // namespace miniparallel::kernels::cuda
