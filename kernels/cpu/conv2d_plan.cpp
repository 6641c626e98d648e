#include "kernels/cpu/conv2d_plan.h"

#include "kernels/cpu/scratch.h"

#include <algorithm>

namespace miniparallel::kernels::cpu {
namespace {

struct PaddedImage;

std::int64_t round_up(std::int64_t n, std::int64_t unit) { return (n + unit - 1) / unit * unit; }

/// Adds a row of pixels.
void add_row(ConvPhase& phase, std::int64_t lanes, std::int64_t width, std::int64_t pixel,
             std::int64_t pixel_step, std::int64_t out) {
  for (std::int64_t i = 0; i < width; i += lanes) {
    phase.pixels.push_back(pixel + i * pixel_step);
    phase.out.push_back(out + i * phase.step);
    phase.counts.push_back(std::min(lanes, width - i));
  }
}

/// One dimension of the gradient of the data. Position i of dx receives from output o and tap k where
/// i + padding = o stride + k dilation. Positions `stride` apart, from a first one on, share their taps.
struct Axis {
  std::int64_t size, outputs, kernel, stride, padding, dilation;

  /// Zeros before output 0, so that no tap reads before the buffer.
  std::int64_t border() const { return (kernel - 1) * dilation / stride; }
  /// With room for whole vectors of positions, whichever is the first.
  std::int64_t padded(std::int64_t lanes = 1) const {
    return border() + (padding + stride - 1) / stride + round_up(count(0), lanes);
  }
  std::int64_t count(std::int64_t first) const { return (size - first + stride - 1) / stride; }
  std::int64_t firsts() const { return std::min(size, stride); }
  /// Where the buffer is read for the first position by a tap that steps back by 0; for the next one behind.
  std::int64_t base(std::int64_t first) const { return (first + padding) / stride + border(); }
  bool reads(std::int64_t tap, std::int64_t first) const {
    return tap * dilation % stride == (first + padding) % stride;
  }
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

void add_taps(ConvPhase& phase, const ConvPlan& plan, const Conv2dGeometry& g, const Axis& rows,
              const Axis& columns, std::int64_t first_row, std::int64_t first_column) {
  const std::int64_t kernel = g.kernel_h * g.kernel_w, count = rows.count(first_row);
  for (std::int64_t kh = 0; kh < g.kernel_h; ++kh) {
    if (!rows.reads(kh, first_row)) continue;
    const std::int64_t first = phase.tap_count();
    for (std::int64_t channel = 0; channel < plan.source_channels; ++channel)
      for (std::int64_t kw = 0; kw < g.kernel_w; ++kw) {
        if (!columns.reads(kw, first_column)) continue;
        phase.taps.push_back(channel * plan.channel_step - rows.back(kh) * plan.row_step - columns.back(kw));
        phase.weights.push_back(channel * plan.channels * kernel + kh * g.kernel_w + kw);
      }
    const Interval pixels = pixels_of_rows(count, phase.pixel_count() / count, [&](std::int64_t i) {
      const std::int64_t row = rows.base(first_row) + i - rows.border() - rows.back(kh);
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

void ConvPlan::lay_out() {
  direct = top == 0 && left == 0 && padded_h == source_h && padded_w == source_w && split == 1;
  row_step = (direct ? 1 : source_channels) * padded_w;
  channel_step = (direct ? padded_h : 1) * padded_w;
}

void ConvPlan::number_taps() {
  for (std::size_t i = 1; i < phases.size(); ++i)
    phases[i].first_tap = phases[i - 1].first_tap + phases[i - 1].tap_count();
}

ConvPlan plan_forward(const Conv2dGeometry& g, std::int64_t lanes) {
  const std::int64_t in_channels = g.in_channels / g.groups, out_channels = g.out_channels / g.groups;
  const std::int64_t taps = in_channels * g.kernel_h * g.kernel_w;
  const std::int64_t split = lanes == 1 || g.out_w == 1 ? 1 : g.stride_w, step = g.stride_w / split;
  const std::int64_t part =
      std::max(round_up(g.in_w + 2 * g.padding_w, split) / split,
               (g.kernel_w - 1) * g.dilation_w / split + round_up((g.out_w - 1) * step + 1, lanes));
  ConvPlan plan{.images = g.n,
                .groups = g.groups,
                .source_channels = in_channels,
                .source_h = g.in_h,
                .source_w = g.in_w,
                .top = g.padding_h,
                .left = g.padding_w,
                .padded_h = g.in_h + 2 * g.padding_h,
                .padded_w = split * part,
                .split = split,
                .channels = out_channels,
                .plane = g.out_h * g.out_w,
                .channel_stride = taps,
                .group_stride = taps * out_channels,
                .phases = {}};
  plan.lay_out();
  ConvPhase& phase = plan.phases.emplace_back();
  for (std::int64_t h = 0; h < g.out_h; ++h)
    add_row(phase, lanes, g.out_w, h * g.stride_h * plan.row_step, step, h * g.out_w);
  phase.row_pixels = phase.pixel_count();
  for (std::int64_t kh = 0; kh < g.kernel_h; ++kh) {
    const std::int64_t first = phase.tap_count();
    for (std::int64_t channel = 0; channel < in_channels; ++channel)
      for (std::int64_t kw = 0; kw < g.kernel_w; ++kw) {
        phase.weights.push_back((channel * g.kernel_h + kh) * g.kernel_w + kw);
        const std::int64_t column = kw * g.dilation_w;
        phase.taps.push_back(channel * plan.channel_step + kh * g.dilation_h * plan.row_step +
                             column % split * part + column / split);
      }
    const Interval pixels = pixels_of_rows(g.out_h, phase.pixel_count() / g.out_h, [&](std::int64_t h) {
      const std::int64_t row = h * g.stride_h + kh * g.dilation_h - g.padding_h;
      return row >= 0 && row < g.in_h;
    });
    phase.rows.push_back({{first, phase.tap_count()}, pixels});
  }
  return plan;
}

ConvPlan plan_data_gradient(const Conv2dGeometry& g, std::int64_t lanes) {
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
                .padded_w = columns.padded(lanes),
                .channels = in_channels,
                .plane = g.in_h * g.in_w,
                .channel_stride = kernel,
                .group_stride = out_channels * in_channels * kernel,
                .phases = {}};
  plan.lay_out();
  plan.together = columns.firsts();
  for (std::int64_t h = 0; h < rows.firsts(); ++h)
    for (std::int64_t w = 0; w < columns.firsts(); ++w) {
      ConvPhase& phase = plan.phases.emplace_back();
      phase.step = g.stride_w;
      for (std::int64_t i = 0; i < rows.count(h); ++i)
        add_row(phase, lanes, columns.count(w), (rows.base(h) + i) * plan.row_step + columns.base(w), 1,
                (h + i * g.stride_h) * g.in_w + w);
      if (plan.together == 1 && phase.out.back() == phase.pixel_count() - 1) {
        phase.row_pixels = phase.pixel_count();
        phase.step = 1;
      } else {
        phase.row_pixels = columns.count(w);
      }
      add_taps(phase, plan, g, rows, columns, h, w);
    }
  plan.number_taps();
  return plan;
}

template <class T>
const T* padded(const ConvPlan& plan, const T* source) {
  if (plan.direct) return source;
  const std::int64_t part = plan.padded_w / plan.split;
  T* const image = scratch<PaddedImage, T>(plan.source_channels * plan.padded_h * plan.padded_w);
  const std::int64_t h = std::min(plan.source_h, plan.padded_h - plan.top);
  const std::int64_t w = std::min(plan.source_w, plan.padded_w - plan.left);
  std::fill_n(image, plan.source_channels * plan.padded_h * plan.padded_w, T(0));
  for (std::int64_t c = 0; c < plan.source_channels; ++c)
    for (std::int64_t row = 0; row < h; ++row) {
      const T* const from = source + (c * plan.source_h + row) * plan.source_w;
      T* const to = image + c * plan.channel_step + (row + plan.top) * plan.row_step;
      if (plan.split == 1) {
        std::copy_n(from, w, to + plan.left);
        continue;
      }
      for (std::int64_t first = 0; first < plan.split; ++first) {
        std::int64_t i = std::max<std::int64_t>(0, plan.left - first + plan.split - 1) / plan.split;
        for (std::int64_t k = first + i * plan.split - plan.left; k < w; k += plan.split)
          to[first * part + i++] = from[k];
      }
    }
  return image;
}
template const float* padded(const ConvPlan&, const float*);
template const double* padded(const ConvPlan&, const double*);

}  // namespace miniparallel::kernels::cpu
