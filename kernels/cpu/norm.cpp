#include "kernels/norm.h"

#include "kernels/by_dtype.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/norm_sums.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/short_length.h"
#include "kernels/functors/activations.h"
#include "kernels/macros.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm.cpp"
#include "kernels/cpu/targets.h"
// After targets.h, once per instruction set:
#include "kernels/cpu/layer_norm.h"

// Batch normalisation. Sums are taken in blocks and a fixed number of lanes, those of the blocks in float64;
// one thread sums a channel from beginning to end.

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

constexpr int kFew = 4;  // channels whose loops are worth code of their own

struct ChannelNumbers;

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

/// The factor and the summand of each channel.
template <class T>
HWY_ATTR void fill_channels(const BatchNormArgs& args, T* scale, T* offset) {
  const T *inv_std = in<T>(args.inv_std), *weight = in<T>(args.weight), *bias = in<T>(args.bias);
  for (std::int64_t c = 0; c < args.geometry.channels; ++c) {
    scale[c] = inv_std[c] * (weight == nullptr ? T(1) : weight[c]);
    offset[c] = bias == nullptr ? T(0) : bias[c];
  }
}

template <class T>
HWY_ATTR void batch_normalize_typed(const BatchNormArgs& args, T* y) {
  const BatchNormGeometry& g = args.geometry;
  const T *x = in<T>(args.x), *mean = in<T>(args.mean);
  T* const scale = scratch<ChannelNumbers, T>(2 * g.channels);
  T* const offset = scale + g.channels;
  fill_channels(args, scale, offset);
  if (args.residual == nullptr && !args.relu)
    return for_each_element(g, [=](std::int64_t i, std::int64_t channel) HWY_ATTR {
      y[i] = normalized(x[i], mean[channel], scale[channel], offset[channel]);
    });
  const T* const residual = in<T>(args.residual);
  const bool relu = args.relu;
  for_each_element(g, [=](std::int64_t i, std::int64_t channel) HWY_ATTR {
    const T sum = normalized(x[i], mean[channel], scale[channel], offset[channel]) +
                  (residual == nullptr ? T(0) : residual[i]);
    y[i] = relu ? functors::Relu::forward(sum, 0, 0) : sum;
  });
}

/// The gradient before relu from that of y.
template <class T>
struct Masked {
  const T *g, *x, *y, *mean, *scale, *offset;
  MP_INLINE T at(std::int64_t i, std::int64_t channel) const {
    const T value = y != nullptr ? y[i] : normalized(x[i], mean[channel], scale[channel], offset[channel]);
    return functors::Relu::backward(g[i], value, 0, 0);
  }
};

template <class T>
HWY_ATTR void batch_sums_typed(const BatchNormArgs& args, const BatchNormGradients& gradients) {
  const BatchNormGeometry& g = args.geometry;
  const T *dy = in<T>(gradients.g), *x = in<T>(args.x);
  const T *mean = in<T>(args.mean), *inv_std = in<T>(args.inv_std);
  T *sum_g = out<T>(gradients.sum_g), *sum_gx = out<T>(gradients.sum_gx);
  const auto finish = [=](std::int64_t channel, double sum, double product) {
    sum_g[channel] = static_cast<T>(sum);
    sum_gx[channel] = static_cast<T>(product * static_cast<double>(inv_std[channel]));
  };
  if (!args.relu)
    return for_each_channel<T>(
        g,
        [=](std::int64_t i, std::int64_t channel)
            HWY_ATTR { return Terms<T>{dy[i], dy[i] * (x[i] - mean[channel])}; },
        finish);
  T* const scale = scratch<ChannelNumbers, T>(2 * g.channels);
  T* const offset = scale + g.channels;
  fill_channels(args, scale, offset);
  const Masked<T> masked{dy, x, in<T>(gradients.y), mean, scale, offset};
  T* const kept = out<T>(gradients.masked);
  for_each_channel<T>(
      g,
      [=](std::int64_t i, std::int64_t channel) HWY_ATTR {
        const T gradient = masked.at(i, channel);
        if (kept != nullptr) kept[i] = gradient;
        return Terms<T>{gradient, gradient * (x[i] - mean[channel])};
      },
      finish);
}

template <class T, int beta>
HWY_ATTR void batch_data_gradient_typed(const BatchNormArgs& args, const BatchNormGradients& gradients) {
  const BatchNormGeometry& g = args.geometry;
  const T *dy = in<T>(gradients.g), *x = in<T>(args.x);
  const T *mean = in<T>(args.mean), *inv_std = in<T>(args.inv_std);
  const T *sum_g = in<T>(gradients.sum_g), *sum_gx = in<T>(gradients.sum_gx);
  const std::int64_t count = gradients.count;
  T* const dx = out<T>(gradients.dx.data);
  T* const scale = scratch<ChannelNumbers, T>(4 * g.channels);
  T *const offset = scale + g.channels, *const shift = offset + g.channels, *const slope = shift + g.channels;
  fill_channels(args, scale, offset);
  for (std::int64_t c = 0; c < g.channels; ++c) {
    shift[c] = count == 0 ? T(0) : sum_g[c] / static_cast<T>(count);
    slope[c] = count == 0 ? T(0) : sum_gx[c] * inv_std[c] / static_cast<T>(count);
  }
  const auto finish = [=](T gradient, std::int64_t i, std::int64_t channel) HWY_ATTR {
    const T rest = gradient - shift[channel] - (x[i] - mean[channel]) * slope[channel];
    dx[i] = scale[channel] * rest + (beta == 0 ? T(0) : dx[i]);
  };
  if (count == 0)
    return for_each_element(g, [=](std::int64_t i, std::int64_t channel)
                                   HWY_ATTR { dx[i] = scale[channel] * dy[i] + (beta == 0 ? T(0) : dx[i]); });
  if (!args.relu)
    return for_each_element(
        g, [=](std::int64_t i, std::int64_t channel) HWY_ATTR { finish(dy[i], i, channel); });
  const Masked<T> masked{dy, x, nullptr, mean, scale, offset};
  for_each_element(
      g, [=](std::int64_t i, std::int64_t channel) HWY_ATTR { finish(masked.at(i, channel), i, channel); });
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
