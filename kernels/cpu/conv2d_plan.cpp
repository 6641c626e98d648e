#include "kernels/cpu/conv2d_plan.h"

#include <algorithm>

namespace miniparallel::kernels::cpu {
namespace {

/// One dimension of the gradient of the data. Position i of dx receives from output o and tap k where
/// i + padding = o stride + k dilation. Positions with the same (i + padding) mod stride share their taps.
struct Axis {
  std::int64_t size, outputs, kernel, stride, padding, dilation;

  /// Zeros before output 0, so that no tap reads before the buffer.
  std::int64_t border() const { return (kernel - 1) * dilation / stride; }
  std::int64_t padded() const { return border() + (size - 1 + padding) / stride + 1; }

  std::vector<std::int64_t> positions(std::int64_t remainder) const {
    std::vector<std::int64_t> result;
    for (std::int64_t i = 0; i < size; ++i)
      if ((i + padding) % stride == remainder) result.push_back(i);
    return result;
  }
  /// Where the buffer is read for position i by a tap that steps back by 0.
  std::int64_t base(std::int64_t i) const { return (i + padding) / stride + border(); }
  bool reads(std::int64_t tap, std::int64_t remainder) const { return tap * dilation % stride == remainder; }
  std::int64_t back(std::int64_t tap) const { return tap * dilation / stride; }
};

/// The rows of `count`, of `width` pixels each, for which reads(row) is true, neighbours, as pixels.
template <class Reads>
Interval pixels_of_rows(std::int64_t count, std::int64_t width, const Reads& reads) {
  std::int64_t begin = 0;
  while (begin < count && !reads(begin)) ++begin;
  std::int64_t end = begin;
  while (end < count && reads(end)) ++end;
  return {begin * width, end * width};
}

void add_taps(ConvPhase& phase, const Conv2dGeometry& g, const Axis& rows, const Axis& columns,
              std::int64_t row_remainder, std::int64_t column_remainder) {
  const std::int64_t kernel = g.kernel_h * g.kernel_w, in_channels = g.in_channels / g.groups;
  const std::int64_t width = columns.padded(), area = rows.padded() * width;
  const std::vector<std::int64_t> positions = rows.positions(row_remainder);
  const auto count = static_cast<std::int64_t>(positions.size());
  for (std::int64_t kh = 0; kh < g.kernel_h; ++kh) {
    if (!rows.reads(kh, row_remainder)) continue;
    const std::int64_t first = phase.tap_count();
    for (std::int64_t channel = 0; channel < g.out_channels / g.groups; ++channel)
      for (std::int64_t kw = 0; kw < g.kernel_w; ++kw) {
        if (!columns.reads(kw, column_remainder)) continue;
        phase.taps.push_back(channel * area - rows.back(kh) * width - columns.back(kw));
        phase.weights.push_back(channel * in_channels * kernel + kh * g.kernel_w + kw);
      }
    const Interval pixels = pixels_of_rows(count, phase.pixel_count() / count, [&](std::int64_t i) {
      const std::int64_t row =
          rows.base(positions[static_cast<std::size_t>(i)]) - rows.border() - rows.back(kh);
      return row >= 0 && row < rows.outputs;
    });
    phase.rows.push_back({{first, phase.tap_count()}, pixels});
  }
}

}  // namespace

ConvTaps ConvPhase::run_from(std::int64_t first) const {
  ConvTaps run{{0, 0}, {first, pixel_count()}};
  for (const ConvTaps& row : rows) {
    if (first < row.pixels.begin) {
      run.pixels.end = std::min(run.pixels.end, row.pixels.begin);
    } else if (first < row.pixels.end) {
      run.pixels.end = std::min(run.pixels.end, row.pixels.end);
      run.taps = {run.taps.end == 0 ? row.taps.begin : run.taps.begin, row.taps.end};
    }
  }
  return run;
}

ConvPlan plan_forward(const Conv2dGeometry& g) {
  const std::int64_t in_channels = g.in_channels / g.groups, out_channels = g.out_channels / g.groups;
  const std::int64_t taps = in_channels * g.kernel_h * g.kernel_w;
  ConvPlan plan{.images = g.n,
                .groups = g.groups,
                .source_channels = in_channels,
                .source_h = g.in_h,
                .source_w = g.in_w,
                .top = g.padding_h,
                .left = g.padding_w,
                .padded_h = g.in_h + 2 * g.padding_h,
                .padded_w = g.in_w + 2 * g.padding_w,
                .channels = out_channels,
                .plane = g.out_h * g.out_w,
                .channel_stride = taps,
                .group_stride = taps * out_channels,
                .phases = {}};
  ConvPhase& phase = plan.phases.emplace_back();
  for (std::int64_t h = 0; h < g.out_h; ++h)
    for (std::int64_t w = 0; w < g.out_w; ++w)
      phase.pixels.push_back(h * g.stride_h * plan.padded_w + w * g.stride_w);
  for (std::int64_t kh = 0; kh < g.kernel_h; ++kh) {
    const std::int64_t first = phase.tap_count();
    for (std::int64_t channel = 0; channel < in_channels; ++channel)
      for (std::int64_t kw = 0; kw < g.kernel_w; ++kw) {
        phase.weights.push_back((channel * g.kernel_h + kh) * g.kernel_w + kw);
        phase.taps.push_back((channel * plan.padded_h + kh * g.dilation_h) * plan.padded_w +
                             kw * g.dilation_w);
      }
    const Interval pixels = pixels_of_rows(g.out_h, g.out_w, [&](std::int64_t h) {
      const std::int64_t row = h * g.stride_h + kh * g.dilation_h - g.padding_h;
      return row >= 0 && row < g.in_h;
    });
    phase.rows.push_back({{first, phase.tap_count()}, pixels});
  }
  return plan;
}

ConvPlan plan_data_gradient(const Conv2dGeometry& g) {
  const Axis rows{g.in_h, g.out_h, g.kernel_h, g.stride_h, g.padding_h, g.dilation_h};
  const Axis columns{g.in_w, g.out_w, g.kernel_w, g.stride_w, g.padding_w, g.dilation_w};
  const std::int64_t in_channels = g.in_channels / g.groups, out_channels = g.out_channels / g.groups;
  const std::int64_t kernel = g.kernel_h * g.kernel_w;
  ConvPlan plan{.images = g.n,
                .groups = g.groups,
                .source_channels = out_channels,
                .source_h = g.out_h,
                .source_w = g.out_w,
                .top = rows.border(),
                .left = columns.border(),
                .padded_h = rows.padded(),
                .padded_w = columns.padded(),
                .channels = in_channels,
                .plane = g.in_h * g.in_w,
                .channel_stride = kernel,
                .group_stride = out_channels * in_channels * kernel,
                .phases = {}};
  const bool one_phase = g.stride_h == 1 && g.stride_w == 1;
  for (std::int64_t rh = 0; rh < g.stride_h; ++rh)
    for (std::int64_t rw = 0; rw < g.stride_w; ++rw) {
      ConvPhase phase;
      const std::vector<std::int64_t> across = columns.positions(rw);
      for (const std::int64_t h : rows.positions(rh))
        for (const std::int64_t w : across) {
          phase.pixels.push_back(rows.base(h) * plan.padded_w + columns.base(w));
          if (!one_phase) phase.out.push_back(h * g.in_w + w);
        }
      if (phase.pixels.empty()) continue;
      add_taps(phase, g, rows, columns, rh, rw);
      plan.phases.push_back(std::move(phase));
    }
  return plan;
}

}  // namespace miniparallel::kernels::cpu
