#include "kernels/norm.h"

#include "kernels/by_dtype.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/norm_sums.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/short_length.h"
#include "kernels/cpu/turned_rows.h"
#include "kernels/macros.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm.cpp"
#include "kernels/cpu/targets.h"

// Sums are taken in blocks and a fixed number of lanes, those of the blocks in float64; one thread sums a
// channel, a row or a column from beginning to end.

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

constexpr std::int64_t kGrainElements = 16384;
constexpr int kFew = 4;                // channels or columns whose loops are worth code of their own
constexpr std::int64_t kColumns = 32;  // of a row, which one thread sums over the rows

struct ChannelNumbers;

std::int64_t grain(std::int64_t elements_per_unit) {
  return std::max<std::int64_t>(1, kGrainElements / std::max<std::int64_t>(1, elements_per_unit));
}

/// Calls finish(channel, sum of firsts, sum of seconds) for each channel, which are the
/// sums of terms(element, channel) over its elements. Without inner dimensions a lane is a channel.
template <class T, class F, class Finish>
HWY_ATTR void for_each_channel(const BatchNormGeometry& g, const F& terms, const Finish& finish) {
  const bool lanes_are_channels = g.inner == 1;
  const std::int64_t per_unit = lanes_are_channels ? kLanes : 1;
  parallel_for((g.channels + per_unit - 1) / per_unit, grain(g.n * g.inner * per_unit),
               [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
                 for (std::int64_t unit = begin; unit < end; ++unit) {
                   const std::int64_t channel = unit * per_unit;
                   const std::int64_t width = std::min(per_unit, g.channels - channel);
                   Sums sums;
                   const auto add_images = [&](std::int64_t lanes) HWY_ATTR __attribute__((always_inline)) {
                     for (std::int64_t image = 0; image < g.n; ++image)
                       for (std::int64_t k = 0; k < lanes; ++k) {
                         const Terms<T> term = terms(image * g.channels + channel + k, channel + k);
                         sums.first[k] += static_cast<double>(term.first);
                         sums.second[k] += static_cast<double>(term.second);
                       }
                   };
                   if (lanes_are_channels) {
                     if (!with_short_length<kFew>(width, [&]<int lanes>() HWY_ATTR { add_images(lanes); }))
                       add_images(width);
                   } else {
                     for (std::int64_t image = 0; image < g.n; ++image) {
                       const std::int64_t start = (image * g.channels + channel) * g.inner;
                       add_run<T>(sums, g.inner,
                                  [&](std::int64_t i) HWY_ATTR { return terms(start + i, channel); });
                     }
                   }
                   if (!lanes_are_channels) {
                     finish(channel, total(sums.first), total(sums.second));
                     continue;
                   }
                   for (std::int64_t k = 0; k < width; ++k)
                     finish(channel + k, sums.first[k], sums.second[k]);
                 }
               });
}

/// Calls f(element, channel) for all elements.
template <class F>
HWY_ATTR void for_each_element(const BatchNormGeometry& g, const F& f) {
  if (g.inner == 1) {
    parallel_for(g.n, grain(g.channels), [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
      const auto images = [&](std::int64_t channels) HWY_ATTR __attribute__((always_inline)) {
        for (std::int64_t image = begin; image < end; ++image) {
          MP_IVDEP
          for (std::int64_t channel = 0; channel < channels; ++channel)
            f(image * channels + channel, channel);
        }
      };
      if (!with_short_length<kFew>(g.channels, [&]<int channels>() HWY_ATTR { images(channels); }))
        images(g.channels);
    });
    return;
  }
  parallel_for(g.n * g.channels, grain(g.inner), [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
    for (std::int64_t run = begin; run < end; ++run) {
      const std::int64_t channel = run % g.channels;
      MP_IVDEP
      for (std::int64_t i = 0; i < g.inner; ++i) f(run * g.inner + i, channel);
    }
  });
}

template <class T>
HWY_ATTR void batch_statistics_typed(const BatchNormGeometry& g, const T* x, const BatchMoments& moments) {
  T *const mean = out<T>(moments.mean), *const variance = out<T>(moments.variance);
  const double count = static_cast<double>(g.n * g.inner);
  for_each_channel<T>(
      g, [=](std::int64_t i, std::int64_t) HWY_ATTR { return Terms<T>{x[i], 0}; },
      [=](std::int64_t channel, double sum, double) { mean[channel] = static_cast<T>(sum / count); });
  for_each_channel<T>(
      g,
      [=](std::int64_t i, std::int64_t channel) HWY_ATTR {
        const T difference = x[i] - mean[channel];
        return Terms<T>{difference * difference, 0};
      },
      [=](std::int64_t channel, double sum, double) { variance[channel] = static_cast<T>(sum / count); });
  T* const inv_std = out<T>(moments.inv_std);
  if (inv_std == nullptr) return;
  for (std::int64_t c = 0; c < g.channels; ++c) inv_std[c] = inverse_std(variance[c], moments.eps);
}

template <class T>
HWY_ATTR void batch_normalize_typed(const BatchNormArgs& args, T* y) {
  const BatchNormGeometry& g = args.geometry;
  const T *x = in<T>(args.x), *mean = in<T>(args.mean), *inv_std = in<T>(args.inv_std);
  const T *weight = in<T>(args.weight), *bias = in<T>(args.bias);
  T* const scale = scratch<ChannelNumbers, T>(2 * g.channels);
  T* const offset = scale + g.channels;
  for (std::int64_t c = 0; c < g.channels; ++c) {
    scale[c] = inv_std[c] * (weight == nullptr ? T(1) : weight[c]);
    offset[c] = bias == nullptr ? T(0) : bias[c];
  }
  for_each_element(g, [=](std::int64_t i, std::int64_t channel)
                          HWY_ATTR { y[i] = (x[i] - mean[channel]) * scale[channel] + offset[channel]; });
}

template <class T>
HWY_ATTR void batch_sums_typed(const BatchNormArgs& args, const BatchNormGradients& gradients) {
  const BatchNormGeometry& g = args.geometry;
  const T *dy = in<T>(gradients.g), *x = in<T>(args.x);
  const T *mean = in<T>(args.mean), *inv_std = in<T>(args.inv_std);
  T *sum_g = out<T>(gradients.sum_g), *sum_gx = out<T>(gradients.sum_gx);
  for_each_channel<T>(
      g,
      [=](std::int64_t i, std::int64_t channel)
          HWY_ATTR { return Terms<T>{dy[i], dy[i] * (x[i] - mean[channel])}; },
      [=](std::int64_t channel, double sum, double product) {
        sum_g[channel] = static_cast<T>(sum);
        sum_gx[channel] = static_cast<T>(product * static_cast<double>(inv_std[channel]));
      });
}

template <class T, int beta>
HWY_ATTR void batch_data_gradient_typed(const BatchNormArgs& args, const BatchNormGradients& gradients) {
  const BatchNormGeometry& g = args.geometry;
  const T *dy = in<T>(gradients.g), *x = in<T>(args.x);
  const T *mean = in<T>(args.mean), *inv_std = in<T>(args.inv_std), *weight = in<T>(args.weight);
  const T *sum_g = in<T>(gradients.sum_g), *sum_gx = in<T>(gradients.sum_gx);
  const std::int64_t count = gradients.count;
  T* const dx = out<T>(gradients.dx.data);
  T* const scale = scratch<ChannelNumbers, T>(3 * g.channels);
  T *const shift = scale + g.channels, *const slope = shift + g.channels;
  for (std::int64_t c = 0; c < g.channels; ++c) {
    scale[c] = inv_std[c] * (weight == nullptr ? T(1) : weight[c]);
    shift[c] = count == 0 ? T(0) : sum_g[c] / static_cast<T>(count);
    slope[c] = count == 0 ? T(0) : sum_gx[c] * inv_std[c] / static_cast<T>(count);
  }
  if (count == 0)
    for_each_element(g, [=](std::int64_t i, std::int64_t channel)
                            HWY_ATTR { dx[i] = scale[channel] * dy[i] + (beta == 0 ? T(0) : dx[i]); });
  else
    for_each_element(g, [=](std::int64_t i, std::int64_t channel) HWY_ATTR {
      const T rest = dy[i] - shift[channel] - (x[i] - mean[channel]) * slope[channel];
      dx[i] = scale[channel] * rest + (beta == 0 ? T(0) : dx[i]);
    });
}

/// Calls f(row) for all rows.
template <class F>
HWY_ATTR void for_each_row(std::int64_t rows, std::int64_t width, const F& f) {
  parallel_for(rows, grain(width), [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
    for (std::int64_t row = begin; row < end; ++row) f(row);
  });
}

/// Calls f(row, count) for blocks of rows that are short enough to be turned.
template <class F>
HWY_ATTR void for_each_block_of_rows(std::int64_t rows, std::int64_t width, const F& f) {
  const std::int64_t blocks = (rows + kTurnedRows - 1) / kTurnedRows;
  parallel_for(blocks, grain(kTurnedRows * width), [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
    for (std::int64_t row = begin * kTurnedRows; row < std::min(rows, end * kTurnedRows); row += kTurnedRows)
      f(row, std::min(kTurnedRows, rows - row));
  });
}

template <class T>
HWY_ATTR void short_layer_forward(const LayerNormArgs& args, T* y) {
  const std::int64_t width = args.width;
  const T *x = in<T>(args.x), *weight = in<T>(args.weight), *bias = in<T>(args.bias);
  T *mean = out<T>(args.mean), *inv_std = out<T>(args.inv_std);
  const double count = static_cast<double>(width), eps = args.eps;
  for_each_block_of_rows(args.rows, width, [=](std::int64_t first, std::int64_t rows) HWY_ATTR {
    TurnedRows<T> turned;
    turned.read(x + first * width, rows, width);
    double sum[kTurnedRows] = {}, squares[kTurnedRows] = {};
    T *const m = mean + first, *const scale = inv_std + first;
    for (std::int64_t i = 0; i < width; ++i)
      for (std::int64_t r = 0; r < rows; ++r) sum[r] += static_cast<double>(turned[i][r]);
    for (std::int64_t r = 0; r < rows; ++r) m[r] = static_cast<T>(sum[r] / count);
    for (std::int64_t i = 0; i < width; ++i)
      for (std::int64_t r = 0; r < rows; ++r) {
        turned[i][r] -= m[r];
        squares[r] += static_cast<double>(turned[i][r] * turned[i][r]);
      }
    for (std::int64_t r = 0; r < rows; ++r)
      scale[r] = static_cast<T>(1 / std::sqrt(squares[r] / count + eps));
    for (std::int64_t i = 0; i < width; ++i) {
      const T factor = weight == nullptr ? T(1) : weight[i], offset = bias == nullptr ? T(0) : bias[i];
      for (std::int64_t r = 0; r < rows; ++r) turned[i][r] = turned[i][r] * scale[r] * factor + offset;
    }
    turned.write(y + first * width, rows, width);
  });
}

template <class T, int beta>
HWY_ATTR void short_layer_data_gradient(const LayerNormArgs& args, const T* dy, T* dx) {
  const std::int64_t width = args.width;
  const T *x = in<T>(args.x), *weight = in<T>(args.weight);
  const T *mean = in<T>(args.mean), *inv_std = in<T>(args.inv_std);
  const double count = static_cast<double>(width);
  for_each_block_of_rows(args.rows, width, [=](std::int64_t first, std::int64_t rows) HWY_ATTR {
    TurnedRows<T> g, centered;
    g.read(dy + first * width, rows, width);
    centered.read(x + first * width, rows, width);
    double sum[kTurnedRows] = {}, product[kTurnedRows] = {};
    const T *const m = mean + first, *const scale = inv_std + first;
    for (std::int64_t i = 0; i < width; ++i) {
      const T factor = weight == nullptr ? T(1) : weight[i];
      for (std::int64_t r = 0; r < rows; ++r) {
        g[i][r] *= factor;
        centered[i][r] -= m[r];
        sum[r] += static_cast<double>(g[i][r]);
        product[r] += static_cast<double>(g[i][r] * centered[i][r]);
      }
    }
    T shift[kTurnedRows], slope[kTurnedRows];
    for (std::int64_t r = 0; r < rows; ++r) {
      shift[r] = static_cast<T>(sum[r] / count);
      slope[r] = static_cast<T>(product[r] / count) * scale[r] * scale[r];
    }
    T* const out = dx + first * width;
    for (std::int64_t i = 0; i < width; ++i)
      for (std::int64_t r = 0; r < rows; ++r) {
        const T gradient = scale[r] * (g[i][r] - shift[r] - centered[i][r] * slope[r]);
        g[i][r] = gradient + (beta == 0 ? T(0) : out[r * width + i]);
      }
    g.write(out, rows, width);
  });
}

template <class T>
HWY_ATTR void layer_forward_typed(const LayerNormArgs& args, T* y) {
  const std::int64_t width = args.width;
  const T *x = in<T>(args.x), *weight = in<T>(args.weight), *bias = in<T>(args.bias);
  T *mean = out<T>(args.mean), *inv_std = out<T>(args.inv_std);
  const double eps = args.eps;
  for_each_row(args.rows, width, [=](std::int64_t row) HWY_ATTR {
    const T* in = x + row * width;
    Sums sums;
    add_run<T>(sums, width, [=](std::int64_t i) HWY_ATTR { return Terms<T>{in[i], 0}; });
    const T m = static_cast<T>(total(sums.first) / static_cast<double>(width));
    add_run<T>(sums, width, [=](std::int64_t i) HWY_ATTR {
      const T difference = in[i] - m;
      return Terms<T>{0, difference * difference};
    });
    const double variance = total(sums.second) / static_cast<double>(width);
    const T scale = static_cast<T>(1 / std::sqrt(variance + eps));
    mean[row] = m;
    inv_std[row] = scale;
    T* out = y + row * width;
    MP_IVDEP
    for (std::int64_t i = 0; i < width; ++i) out[i] = (in[i] - m) * scale;
    if (weight != nullptr)
      for (std::int64_t i = 0; i < width; ++i) out[i] *= weight[i];
    if (bias != nullptr)
      for (std::int64_t i = 0; i < width; ++i) out[i] += bias[i];
  });
}

template <class T, bool weighted, int beta>
HWY_ATTR void layer_data_gradient_typed(const LayerNormArgs& args, const T* dy, T* dx) {
  const std::int64_t width = args.width;
  const T *x = in<T>(args.x), *weight = in<T>(args.weight);
  const T *mean = in<T>(args.mean), *inv_std = in<T>(args.inv_std);
  for_each_row(args.rows, width, [=](std::int64_t row) HWY_ATTR {
    const T *gradient = dy + row * width, *in = x + row * width;
    const T m = mean[row], scale = inv_std[row];
    Sums sums;
    add_run<T>(sums, width, [=](std::int64_t i) HWY_ATTR {
      const T g = gradient[i] * (weighted ? weight[i] : T(1));
      return Terms<T>{g, g * (in[i] - m)};
    });
    const T shift = static_cast<T>(total(sums.first) / static_cast<double>(width));
    const T slope = static_cast<T>(total(sums.second) / static_cast<double>(width)) * scale * scale;
    T* out = dx + row * width;
    MP_IVDEP
    for (std::int64_t i = 0; i < width; ++i) {
      const T g = gradient[i] * (weighted ? weight[i] : T(1));
      out[i] = scale * (g - shift - (in[i] - m) * slope) + (beta == 0 ? T(0) : out[i]);
    }
  });
}

template <class T>
HWY_ATTR void layer_parameter_gradient_typed(const LayerNormArgs& args, const T* dy,
                                             const Destination& weight, const Destination& bias) {
  const std::int64_t rows = args.rows, width = args.width;
  const T *x = in<T>(args.x), *mean = in<T>(args.mean), *inv_std = in<T>(args.inv_std);
  T *const dweight = out<T>(weight.data), *const dbias = out<T>(bias.data);
  const int weight_beta = weight.beta, bias_beta = bias.beta;
  parallel_for((width + kColumns - 1) / kColumns, grain(rows * kColumns),
               [=](std::int64_t begin, std::int64_t end) HWY_ATTR {
                 for (std::int64_t first = begin * kColumns; first < std::min(width, end * kColumns);
                      first += kColumns) {
                   const std::int64_t columns = std::min(kColumns, width - first);
                   double products[kColumns] = {}, sums[kColumns] = {};
                   const auto add = [&](std::int64_t count) HWY_ATTR __attribute__((always_inline)) {
                     for (std::int64_t row = 0; row < rows; ++row) {
                       const T *gradient = dy + row * width + first, *in = x + row * width + first;
                       const T m = mean[row], scale = inv_std[row];
                       for (std::int64_t k = 0; k < count; ++k) {
                         sums[k] += static_cast<double>(gradient[k]);
                         products[k] += static_cast<double>(gradient[k] * ((in[k] - m) * scale));
                       }
                     }
                   };
                   if (!with_short_length<kFew>(columns, [&]<int count>() HWY_ATTR { add(count); }))
                     add(columns);
                   for (std::int64_t k = 0; k < columns; ++k) {
                     T* const w = dweight == nullptr ? nullptr : dweight + first + k;
                     T* const b = dbias == nullptr ? nullptr : dbias + first + k;
                     if (w != nullptr) *w = static_cast<T>(products[k]) + (weight_beta == 0 ? T(0) : *w);
                     if (b != nullptr) *b = static_cast<T>(sums[k]) + (bias_beta == 0 ? T(0) : *b);
                   }
                 }
               });
}

// --- by dtype

void batch_statistics(DType dtype, const BatchNormGeometry& g, const void* x, const BatchMoments& moments,
                      Stream) {
  with_type(dtype, [&]<class T>() { batch_statistics_typed(g, in<T>(x), moments); });
}
void batch_normalize(DType dtype, const BatchNormArgs& args, void* y, Stream) {
  with_type(dtype, [&]<class T>() { batch_normalize_typed(args, out<T>(y)); });
}
void batch_sums(DType dtype, const BatchNormArgs& args, const BatchNormGradients& gradients, Stream) {
  with_type(dtype, [&]<class T>() { batch_sums_typed<T>(args, gradients); });
}
void batch_data_gradient(DType dtype, const BatchNormArgs& args, const BatchNormGradients& gradients,
                         Stream) {
  with_type(dtype, [&]<class T>() {
    (gradients.dx.beta == 0 ? batch_data_gradient_typed<T, 0> : batch_data_gradient_typed<T, 1>)(args,
                                                                                                 gradients);
  });
}
void update_running(DType dtype, const RunningArgs& args, Stream) {
  with_type(dtype, [&]<class T>() {
    for (const RunningRow& row : args.rows) {
      const double share = share_of_batch(row.momentum, row.batches);
      for (std::int64_t c = 0; c < row.channels; ++c)
        move_running<T>(row, args.shares.data(), std::ssize(args.shares), args.stride, share, c);
      if (row.batches != nullptr) ++*row.batches;
    }
  });
}
void layer_forward(DType dtype, const LayerNormArgs& args, void* y, Stream) {
  with_type(dtype, [&]<class T>() {
    (args.width <= kTurnedLength ? short_layer_forward<T> : layer_forward_typed<T>)(args, out<T>(y));
  });
}
void layer_data_gradient(DType dtype, const LayerNormArgs& args, const void* g, Destination dx, Stream) {
  with_type(dtype, [&]<class T>() {
    constexpr decltype(&layer_data_gradient_typed<T, true, 0>) by_kind[3][2] = {
        {layer_data_gradient_typed<T, false, 0>, layer_data_gradient_typed<T, false, 1>},
        {layer_data_gradient_typed<T, true, 0>, layer_data_gradient_typed<T, true, 1>},
        {short_layer_data_gradient<T, 0>, short_layer_data_gradient<T, 1>}};
    const int kind = args.width <= kTurnedLength ? 2 : args.weight != nullptr ? 1 : 0;
    by_kind[kind][dx.beta](args, in<T>(g), out<T>(dx.data));
  });
}
void layer_parameter_gradient(DType dtype, const LayerNormArgs& args, const void* g, Destination dweight,
                              Destination dbias, Stream) {
  with_type(dtype, [&]<class T>() { layer_parameter_gradient_typed(args, in<T>(g), dweight, dbias); });
}

}  // namespace

const Norm& norm() {
  static constexpr Norm launchers{MP_NORM(MP_LAUNCHER)};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {

MP_DISPATCH(Norm, norm)

}  // namespace miniparallel::kernels::cpu
#endif
