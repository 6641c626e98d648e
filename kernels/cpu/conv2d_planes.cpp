#include "kernels/cpu/conv2d_loops.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/conv2d_planes.cpp"
#include "kernels/cpu/targets.h"

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

// Convolution plane by plane: a tap is a number that one plane is multiplied by before it is added to
// another. The vectors run along rows, whatever the number of channels.

constexpr std::int64_t kGrainProducts = 1 << 17;
constexpr int kLanes = 16;

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
                   for (std::int64_t i = 0; dweight != nullptr && i < channels.in * taps; ++i) {
                     const std::int64_t tap = i % taps;
                     T lanes[kLanes] = {};
                     for (std::int64_t image = 0; image < g.n; ++image) {
                       const T* gradient = dy + (image * g.out_channels + channel) * out_plane;
                       const T* source = x + (image * g.in_channels + first + i / taps) * in_plane;
                       for_each_row(
                           g, tap / g.kernel_w, tap % g.kernel_w,
                           [&](std::int64_t at, std::int64_t from, std::int64_t n, std::int64_t step)
                               HWY_ATTR { add_row_products(lanes, gradient + at, source + from, step, n); });
                     }
                     T& out = dweight[channel * channels.in * taps + i];
                     out = sum_of(lanes) + (weight.beta == 0 ? T(0) : out);
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
