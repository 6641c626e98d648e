#include "kernels/cuda/conv2d/gemm_geometry.cuh"

#include <miniparallel/error.h>

#include <algorithm>
#include <numeric>
#include <string>

namespace miniparallel::kernels::cuda {
namespace {

struct Axis {
  std::int64_t size, outputs, kernel, stride, padding, dilation;
};

Axis rows_of(const Conv2dGeometry& g) {
  return {g.in_h, g.out_h, g.kernel_h, g.stride_h, g.padding_h, g.dilation_h};
}
Axis columns_of(const Conv2dGeometry& g) {
  return {g.in_w, g.out_w, g.kernel_w, g.stride_w, g.padding_w, g.dilation_w};
}

int to_int(std::int64_t value) { return static_cast<int>(value); }

/// Output o and tap k read element o stride + k dilation - padding.
GemmAxis forward_axis(const Axis& a) {
  return {.positions = to_int(a.outputs),
          .taps = to_int(a.kernel),
          .size = to_int(a.size),
          .first = -to_int(a.padding),
          .step = to_int(a.stride),
          .tap_step = to_int(a.dilation),
          .out_first = 0,
          .out_step = 1,
          .weight_first = 0,
          .weight_step = 1};
}

/// Element i receives from output o and tap k where i + padding = o stride
/// + k dilation. The elements `element`, `element` + stride, ... share
/// the taps with k dilation mod stride = (element + padding) mod stride.
GemmAxis data_gradient_axis(const Axis& a, std::int64_t element) {
  const std::int64_t residue = (element + a.padding) % a.stride;
  const std::int64_t step = a.stride / std::gcd(a.stride, a.dilation);
  std::int64_t tap = 0;
  while (tap < a.kernel && tap * a.dilation % a.stride != residue) ++tap;
  const std::int64_t taps = tap < a.kernel ? (a.kernel - tap + step - 1) / step : 0;
  return {.positions = to_int((a.size - element + a.stride - 1) / a.stride),
          .taps = to_int(taps),
          .size = to_int(a.outputs),
          .first = taps == 0 ? 0 : to_int((element + a.padding - tap * a.dilation) / a.stride),
          .step = 1,
          .tap_step = -to_int(step * a.dilation / a.stride),
          .out_first = to_int(element),
          .out_step = to_int(a.stride),
          .weight_first = to_int(tap),
          .weight_step = to_int(step)};
}

Divider divider(std::int64_t divisor) {
  return Divider(static_cast<std::uint32_t>(std::max<std::int64_t>(divisor, 1)));
}

ImplicitGemm gemm_of(const Conv2dGeometry& g, const GemmAxis& rows, const GemmAxis& columns) {
  ImplicitGemm gemm{};
  gemm.rows = rows, gemm.columns = columns;
  gemm.plane_positions = divider(std::int64_t{rows.positions} * columns.positions);
  gemm.row_positions = divider(columns.positions);
  gemm.taps = divider(std::int64_t{rows.taps} * columns.taps);
  gemm.row_taps = divider(columns.taps);
  gemm.images = static_cast<std::uint32_t>(g.n), gemm.groups = static_cast<std::uint32_t>(g.groups);
  return gemm;
}

/// The steps through an array of images.
struct Steps {
  std::int64_t pixel, width, plane, image;

  Steps(bool channels_last, std::int64_t channels, std::int64_t h, std::int64_t w)
      : pixel(channels_last ? channels : 1),
        width(w * pixel),
        plane(channels_last ? 1 : h * w),
        image(channels * h * w) {}
};

void set_steps(ImplicitGemm& gemm, const Steps& source, const Steps& out) {
  gemm.source_pixel = source.pixel, gemm.source_width = source.width;
  gemm.source_plane = source.plane, gemm.source_image = source.image;
  gemm.out_pixel = out.pixel, gemm.out_width = out.width;
  gemm.out_plane = out.plane, gemm.out_image = out.image;
}

/// The steps through a packed weight, whose channels are innermost, or with few filters these.
void set_packed_steps(ImplicitGemm& gemm, const Conv2dGeometry& g) {
  const std::int64_t taps = g.kernel_h * g.kernel_w, all_filters = std::int64_t{gemm.groups} * gemm.filters;
  const bool by_filters = gemm.filters <= kFewFilters;
  gemm.weight_pixel = by_filters ? all_filters : gemm.channels;
  gemm.weight_width = g.kernel_w * gemm.weight_pixel;
  gemm.weight_channel = by_filters ? taps * all_filters : 1;
  gemm.weight_filter = by_filters ? 1 : gemm.channels * taps;
  gemm.weight_group = gemm.filters * gemm.weight_filter;
}

Steps x_steps(const Conv2dGeometry& g) { return {g.x_channels_last, g.in_channels, g.in_h, g.in_w}; }
Steps y_steps(const Conv2dGeometry& g) { return {g.y_channels_last, g.out_channels, g.out_h, g.out_w}; }

}  // namespace

void check_sizes(const Conv2dGeometry& g) {
  const std::int64_t limit = std::int64_t{1} << 30;
  const auto check = [&](std::int64_t size, const char* what) {
    if (size >= limit)
      throw Error(std::string("conv2d: ") + what + " is " + std::to_string(size) +
                  ", the CUDA kernels take less than 2^30; split the convolution");
  };
  check(g.n, "the number of images");
  check(g.in_h + 2 * g.padding_h, "the padded height");
  check(g.in_w + 2 * g.padding_w, "the padded width");
  check(g.in_h * g.in_w, "the size of a channel");
  check(g.out_h * g.out_w, "the size of an output channel");
  check(g.in_channels / g.groups * g.out_channels * g.kernel_h * g.kernel_w, "the number of weights");
}

ImplicitGemm forward_gemm(const Conv2dGeometry& g) {
  ImplicitGemm gemm = gemm_of(g, forward_axis(rows_of(g)), forward_axis(columns_of(g)));
  gemm.channels = static_cast<std::uint32_t>(g.in_channels / g.groups);
  gemm.filters = static_cast<std::uint32_t>(g.out_channels / g.groups);
  set_steps(gemm, x_steps(g), y_steps(g));
  gemm.weight_pixel = 1;
  gemm.weight_width = g.kernel_w;
  gemm.weight_channel = g.kernel_h * g.kernel_w;
  gemm.weight_filter = gemm.channels * gemm.weight_channel;
  gemm.weight_group = gemm.filters * gemm.weight_filter;
  if (g.packs_weight) set_packed_steps(gemm, g);
  return gemm;
}

std::vector<ImplicitGemm> data_gradient_gemms(const Conv2dGeometry& g) {
  std::vector<ImplicitGemm> all;
  const ImplicitGemm forward = forward_gemm(g);
  for (std::int64_t i = 0; i < std::min(g.stride_h, g.in_h); ++i)
    for (std::int64_t j = 0; j < std::min(g.stride_w, g.in_w); ++j) {
      ImplicitGemm gemm = gemm_of(g, data_gradient_axis(rows_of(g), i), data_gradient_axis(columns_of(g), j));
      gemm.channels = forward.filters, gemm.filters = forward.channels;
      set_steps(gemm, y_steps(g), x_steps(g));
      gemm.weight_pixel = 1;
      gemm.weight_width = g.kernel_w;
      gemm.weight_channel = forward.weight_filter;
      gemm.weight_filter = forward.weight_channel;
      gemm.weight_group = forward.weight_group;
      if (g.packs_weight) set_packed_steps(gemm, g);
      all.push_back(gemm);
    }
  std::sort(all.begin(), all.end(),
            [](const ImplicitGemm& a, const ImplicitGemm& b) { return a.plane() > b.plane(); });
  return all;
}

}  // namespace miniparallel::kernels::cuda
