#include "kernels/cpu/conv2d_loops.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/conv2d_planes.cpp"
#include "kernels/cpu/targets.h"
// After targets.h, once per instruction set:
#include "kernels/cpu/tile.h"

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

// Convolution plane by plane: a tap is a number that one plane is multiplied by before it is added to
// another. The vectors run along rows, whatever the number of channels.

constexpr std::int64_t kGrainProducts = 1 << 17;
constexpr int kLanes = 16;
constexpr int kTaps = 3;  // neighbours in a row of the kernel whose sums are in registers together

/// Outputs [begin, end) of one dimension whose tap `tap` reads inside the image, and the input of output 0.
struct Range {
  std::int64_t begin, end, first;

  Range(std::int64_t tap, std::int64_t size, std::int64_t outputs, std::int64_t stride, std::int64_t padding,
        std::int64_t dilation) {
    first = tap * dilation - padding;
    begin = first >= 0 ? 0 : (-first + stride - 1) / stride;
    end = size - first <= 0 ? 0 : std::min(outputs, (size - first + stride - 1) / stride);
    begin = std::min(begin, end);
  }
};

/// Calls f(y offset, x offset, n, x step) for every run of products of one tap: y[i] goes with x[i * step].
template <class F>
HWY_ATTR void for_each_row(const Conv2dGeometry& g, std::int64_t kh, std::int64_t kw, const F& f) {
  const Range rows(kh, g.in_h, g.out_h, g.stride_h, g.padding_h, g.dilation_h);
  const Range columns(kw, g.in_w, g.out_w, g.stride_w, g.padding_w, g.dilation_w);
  if (columns.begin == columns.end) return;
  for (std::int64_t row = rows.begin; row < rows.end; ++row)
    f(row * g.out_w + columns.begin,
      (rows.first + row * g.stride_h) * g.in_w + columns.first + columns.begin * g.stride_w,
      columns.end - columns.begin, g.stride_w);
}

template <class T>
HWY_ATTR void add_scaled(T* y, std::int64_t y_step, const T* x, std::int64_t x_step, std::int64_t n, T w) {
  if (y_step == 1 && x_step == 1) {
    MP_IVDEP
    for (std::int64_t i = 0; i < n; ++i) y[i] += w * x[i];
  } else {
    for (std::int64_t i = 0; i < n; ++i) y[i * y_step] += w * x[i * x_step];
  }
}

/// Adds the products g[i] x[i step] of n elements to kLanes sums, whatever the vectors' width. Of a rest a
/// half of the lanes is taken as a vector, if it is full, then a quarter and so on.
template <int width = kLanes, class T, class Step>
MP_INLINE void add_products(T* lanes, const T* g, const T* x, Step step, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + width <= n; i += width) {
    MP_IVDEP
    for (int k = 0; k < width; ++k) lanes[k] += g[i + k] * x[(i + k) * step];
    if (width < kLanes) lanes += width;
  }
  if constexpr (width > 1) add_products<width / 2>(lanes, g + i, x + i * step, step, n - i);
}
template <class T>
HWY_ATTR void add_row_products(T* lanes, const T* g, const T* x, std::int64_t step, std::int64_t n) {
  if (step == 1)
    add_products(lanes, g, x, std::integral_constant<std::int64_t, 1>(), n);
  else
    add_products(lanes, g, x, step, n);
}

/// The outputs of a row for which taps kw, kw + 1, ..., `taps` of them, all read inside the image.
template <int taps>
Range common_columns(const Conv2dGeometry& g, std::int64_t kw) {
  Range first(kw, g.in_w, g.out_w, g.stride_w, g.padding_w, g.dilation_w);
  const Range last(kw + taps - 1, g.in_w, g.out_w, g.stride_w, g.padding_w, g.dilation_w);
  first.end = std::max(first.begin, last.end);
  return first;
}

/// A vector of the elements that the mask, of integers as wide, keeps with -1; 0 for those it has 0 for.
template <class T, class Mask>
MP_INLINE void load_masked(const T* from, const Mask* mask, Vector<T>& to) {
  Vector<Mask> kept;
  load(from, to);
  load(mask, kept);
  to = reinterpret_cast<Vector<T>>(reinterpret_cast<Vector<Mask>>(to) & kept);
}

/// Adds the products of these taps over a plane, at stride 1 along rows that have kLanes common columns at
/// least: sums (taps, kLanes).
template <int taps, class T>
HWY_ATTR void add_taps(const Conv2dGeometry& g, std::int64_t kh, std::int64_t kw, const T* gradient,
                       const T* source, T* sums) {
  using Mask = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  constexpr int lanes = kVectorLanes<T>, vectors = kLanes / lanes;
  const Range rows(kh, g.in_h, g.out_h, g.stride_h, g.padding_h, g.dilation_h);
  const Range columns = common_columns<taps>(g, kw);
  std::int64_t begin[taps], end[taps];
  for (int t = 0; t < taps; ++t) {
    const Range own = common_columns<1>(g, kw + t);
    begin[t] = own.begin, end[t] = own.end;
  }
  Vector<T> sum[taps][vectors];
  for (int t = 0; t < taps; ++t)
    for (int v = 0; v < vectors; ++v) load(sums + t * kLanes + v * lanes, sum[t][v]);
  T left[taps] = {}, right[taps] = {};
  // The last vectors of a row end with it; what the ones before them have had is masked.
  const std::int64_t rest = (columns.end - columns.begin) % kLanes;
  Mask keep[kLanes];
  for (int k = 0; k < kLanes; ++k) keep[k] = k >= kLanes - rest ? -1 : 0;
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    const T* to = gradient + row * g.out_w;
    const T* from = source + (rows.first + row * g.stride_h) * g.in_w + columns.first;
    for (std::int64_t i = columns.begin; i + kLanes <= columns.end; i += kLanes)
      for (int v = 0; v < vectors; ++v) {
        Vector<T> factor, input;
        load(to + i + v * lanes, factor);
        for (int t = 0; t < taps; ++t) {
          load(from + i + t * g.dilation_w + v * lanes, input);
          sum[t][v] += factor * input;
        }
      }
    if (rest > 0)
      for (int v = 0; v < vectors; ++v) {
        const std::int64_t i = columns.end - kLanes + v * lanes;
        Vector<T> factor, input;
        load_masked(to + i, keep + v * lanes, factor);
        for (int t = 0; t < taps; ++t) {
          load_masked(from + i + t * g.dilation_w, keep + v * lanes, input);
          sum[t][v] += factor * input;
        }
      }
    for (int t = 0; t < taps; ++t) {
      const T* at = from + t * g.dilation_w;
      for (std::int64_t i = begin[t]; i < columns.begin; ++i) left[t] += to[i] * at[i];
      for (std::int64_t i = columns.end; i < end[t]; ++i) right[t] += to[i] * at[i];
    }
  }
  for (int t = 0; t < taps; ++t) {
    for (int v = 0; v < vectors; ++v) store(sum[t][v], sums + t * kLanes + v * lanes);
    sums[t * kLanes] += left[t], sums[t * kLanes + 1] += right[t];
  }
}

/// Adds the products of `taps` taps over a plane to sums (taps, kLanes).
template <int taps, class T>
HWY_ATTR void add_plane(const Conv2dGeometry& g, std::int64_t kh, std::int64_t kw, const T* gradient,
                        const T* source, T* sums) {
  const Range columns = common_columns<taps>(g, kw);
  if (g.stride_w == 1 && columns.end - columns.begin >= kLanes)
    return add_taps<taps>(g, kh, kw, gradient, source, sums);
  for (int t = 0; t < taps; ++t)
    for_each_row(g, kh, kw + t,
                 [&](std::int64_t at, std::int64_t from, std::int64_t n, std::int64_t step) HWY_ATTR {
                   add_row_products(sums + t * kLanes, gradient + at, source + from, step, n);
                 });
}

/// Channels of each group.
struct Channels {
  std::int64_t in, out;
  explicit Channels(const Conv2dGeometry& g) : in(g.in_channels / g.groups), out(g.out_channels / g.groups) {}
};

std::int64_t grain(std::int64_t products) {
  return std::max<std::int64_t>(1, kGrainProducts / std::max<std::int64_t>(1, products));
}

template <class T>
HWY_ATTR void forward(const Conv2dGeometry& g, const void* x_data, const void* weight_data,
                      const void* bias_data, void* y_data) {
  const T *x = in<T>(x_data), *weight = in<T>(weight_data), *bias = in<T>(bias_data);
  T* const y = out<T>(y_data);
  const std::int64_t in_plane = g.in_h * g.in_w, out_plane = g.out_h * g.out_w,
                     taps = g.kernel_h * g.kernel_w;
  const Channels channels(g);
  parallel_for(g.n * g.out_channels, grain(out_plane * taps * channels.in),
               [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
                 for (std::int64_t i = begin; i < end; ++i) {
                   const std::int64_t channel = i % g.out_channels, image = i / g.out_channels;
                   T* target = y + i * out_plane;
                   std::fill_n(target, out_plane, bias == nullptr ? T(0) : bias[channel]);
                   for (std::int64_t k = 0; k < channels.in; ++k) {
                     const T* source =
                         x + (image * g.in_channels + channel / channels.out * channels.in + k) * in_plane;
                     const T* weights = weight + (channel * channels.in + k) * taps;
                     for (std::int64_t tap = 0; tap < taps; ++tap)
                       for_each_row(g, tap / g.kernel_w, tap % g.kernel_w,
                                    [&](std::int64_t to, std::int64_t from, std::int64_t n, std::int64_t step)
                                        HWY_ATTR {
                                          add_scaled(target + to, 1, source + from, step, n, weights[tap]);
                                        });
                   }
                 }
               });
}

template <class T>
HWY_ATTR void data_gradient(const Conv2dGeometry& g, const void* dy_data, const void* weight_data,
                            const Destination& destination) {
  const T *dy = in<T>(dy_data), *weight = in<T>(weight_data);
  T* const dx = out<T>(destination.data);
  const std::int64_t in_plane = g.in_h * g.in_w, out_plane = g.out_h * g.out_w,
                     taps = g.kernel_h * g.kernel_w;
  const Channels channels(g);
  parallel_for(
      g.n * g.in_channels, grain(out_plane * taps * channels.out),
      [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
        for (std::int64_t i = begin; i < end; ++i) {
          const std::int64_t image = i / g.in_channels, group = i % g.in_channels / channels.in;
          T* target = dx + i * in_plane;
          if (destination.beta == 0) std::fill_n(target, in_plane, T(0));
          for (std::int64_t channel = group * channels.out; channel < (group + 1) * channels.out; ++channel) {
            const T* source = dy + (image * g.out_channels + channel) * out_plane;
            const T* weights = weight + (channel * channels.in + i % channels.in) * taps;
            for (std::int64_t tap = 0; tap < taps; ++tap)
              for_each_row(
                  g, tap / g.kernel_w, tap % g.kernel_w,
                  [&](std::int64_t from, std::int64_t to, std::int64_t n, std::int64_t step)
                      HWY_ATTR { add_scaled(target + to, step, source + from, 1, n, weights[tap]); });
          }
        }
      });
}

template <class T>
HWY_ATTR T sum_of(const T* lanes) {
  T sum = 0;
  for (int k = 0; k < kLanes; ++k) sum += lanes[k];
  return sum;
}

template <class T>
HWY_ATTR void weight_gradient(const Conv2dGeometry& g, const void* dy_data, const void* x_data,
                              const Destination& weight, const Destination& bias) {
  const T *dy = in<T>(dy_data), *x = in<T>(x_data);
  T *const dweight = out<T>(weight.data), *const dbias = out<T>(bias.data);
  const std::int64_t in_plane = g.in_h * g.in_w, out_plane = g.out_h * g.out_w,
                     taps = g.kernel_h * g.kernel_w;
  const Channels channels(g);
  const T one = 1;
  parallel_for(g.out_channels, grain(g.n * out_plane * taps * channels.in),
               [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
                 for (std::int64_t channel = begin; channel < end; ++channel) {
                   const std::int64_t first = channel / channels.out * channels.in;
                   for (std::int64_t i = 0, count; dweight != nullptr && i < channels.in * taps; i += count) {
                     const std::int64_t kh = i % taps / g.kernel_w, kw = i % g.kernel_w;
                     count = std::min<std::int64_t>(kTaps, g.kernel_w - kw);
                     T lanes[kTaps * kLanes] = {};
                     for (std::int64_t image = 0; image < g.n; ++image) {
                       const T* gradient = dy + (image * g.out_channels + channel) * out_plane;
                       const T* source = x + (image * g.in_channels + first + i / taps) * in_plane;
                       (count == 3   ? add_plane<3, T>
                        : count == 2 ? add_plane<2, T>
                                     : add_plane<1, T>)(g, kh, kw, gradient, source, lanes);
                     }
                     for (std::int64_t t = 0; t < count; ++t) {
                       T& out = dweight[channel * channels.in * taps + i + t];
                       out = sum_of(lanes + t * kLanes) + (weight.beta == 0 ? T(0) : out);
                     }
                   }
                   if (dbias == nullptr) continue;
                   T lanes[kLanes] = {};
                   for (std::int64_t image = 0; image < g.n; ++image)
                     add_products(lanes, dy + (image * g.out_channels + channel) * out_plane, &one,
                                  std::integral_constant<std::int64_t, 0>(), out_plane);
                   dbias[channel] = sum_of(lanes) + (bias.beta == 0 ? T(0) : dbias[channel]);
                 }
               });
}

}  // namespace

const ByDType<Conv2dLoops>& conv2d_planes() {
  static constexpr ByDType<Conv2dLoops> table{
      {forward<float>, data_gradient<float>, weight_gradient<float>},
      {forward<double>, data_gradient<double>, weight_gradient<double>}};
  return table;
}

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {

MP_DISPATCH(ByDType<Conv2dLoops>, conv2d_planes)

}  // namespace miniparallel::kernels::cpu
#endif
