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
#include <type_traits>

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

/// Channels whose loops are worth code of their own, of float32, as compiling takes its time.
template <class T>
constexpr int kFew = std::is_same_v<T, float> && HWY_TARGET != HWY_SCALAR ? 4 : 0;

struct ChannelNumbers;
struct ChannelTerms;

// What is done to each element is written as of(channel)(element): of() holds a channel's numbers by value,
// so that a loop over its elements keeps them in registers whatever it stores.

/// Calls finish(channel, sum of firsts, sum of seconds) for each channel, which are the
/// sums of terms(channel)(element) over its elements. Without inner dimensions a lane is a channel.
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
                         const Terms<T> term = terms(channel + k)(image * g.channels + channel + k);
                         sums.first[k] += static_cast<double>(term.first);
                         sums.second[k] += static_cast<double>(term.second);
                       }
                   };
                   if (lanes_are_channels) {
                     if (!with_short_length<kFew<T>>(width, [&]<int lanes>() HWY_ATTR { add_images(lanes); }))
                       add_images(width);
                   } else {
                     const auto term = terms(channel);
                     for (std::int64_t image = 0; image < g.n; ++image) {
                       const std::int64_t start = (image * g.channels + channel) * g.inner;
                       add_run<T>(sums, g.inner, [=](std::int64_t i) HWY_ATTR { return term(start + i); });
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

/// Calls f(channel)(element) for all elements.
template <class T, class F>
HWY_ATTR void for_each_element(const BatchNormGeometry& g, const F& f) {
  if (g.inner == 1) {
    parallel_for(g.n, grain(g.channels), [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
      const auto images = [&](std::int64_t channels) HWY_ATTR __attribute__((always_inline)) {
        for (std::int64_t image = begin; image < end; ++image) {
          MP_IVDEP
          for (std::int64_t channel = 0; channel < channels; ++channel)
            f(channel)(image * channels + channel);
        }
      };
      if (!with_short_length<kFew<T>>(g.channels, [&]<int channels>() HWY_ATTR { images(channels); }))
        images(g.channels);
    });
    return;
  }
  parallel_for(g.n * g.channels, grain(g.inner), [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
    for (std::int64_t run = begin; run < end; ++run) {
      const auto of_element = f(run % g.channels);
      const std::int64_t start = run * g.inner;
      MP_IVDEP
      for (std::int64_t i = 0; i < g.inner; ++i) of_element(start + i);
    }
  });
}

template <class T>
HWY_ATTR void batch_statistics_typed(const BatchNormGeometry& g, const T* x, const BatchMoments& moments) {
  T *const mean = out<T>(moments.mean), *const variance = out<T>(moments.variance);
  const double count = static_cast<double>(g.n * g.inner);
  for_each_channel<T>(
      g, [=](std::int64_t) HWY_ATTR { return [=](std::int64_t i) HWY_ATTR { return Terms<T>{x[i], 0}; }; },
      [=](std::int64_t channel, double sum, double) { mean[channel] = static_cast<T>(sum / count); });
  for_each_channel<T>(
      g,
      [=](std::int64_t channel) HWY_ATTR {
        return [x, center = mean[channel]](std::int64_t i) HWY_ATTR {
          const T difference = x[i] - center;
          return Terms<T>{difference * difference, 0};
        };
      },
      [=](std::int64_t channel, double sum, double) { variance[channel] = static_cast<T>(sum / count); });
  T* const inv_std = out<T>(moments.inv_std);
  if (inv_std == nullptr) return;
  for (std::int64_t c = 0; c < g.channels; ++c) inv_std[c] = inverse_std(variance[c], moments.eps);
}

/// What each channel is normalised by.
template <class T>
struct Channels {
  const BatchNormArgs& args;
  T *mean, *inv_std, *scale, *offset;  // scale: inv_std weight

  HWY_ATTR explicit Channels(const BatchNormArgs& arguments)
      : args(arguments), mean(scratch<ChannelNumbers, T>(4 * args.geometry.channels)) {
    const std::int64_t channels = args.geometry.channels;
    inv_std = mean + channels, scale = inv_std + channels, offset = scale + channels;
    const T *weight = in<T>(args.weight), *bias = in<T>(args.bias);
    for (std::int64_t c = 0; c < channels; ++c) {
      const std::int64_t parameter = args.group == 0 ? c : c % args.parameters;
      mean[c] = in<T>(args.mean)[statistic(c)];
      inv_std[c] = in<T>(args.inv_std)[statistic(c)];
      scale[c] = inv_std[c] * (weight == nullptr ? T(1) : weight[parameter]);
      offset[c] = bias == nullptr ? T(0) : bias[parameter];
    }
  }
  /// The number of its mean, inv_std and, in the data gradient, sums.
  std::int64_t statistic(std::int64_t c) const { return args.group == 0 ? c : c / args.group; }
};

template <class T>
HWY_ATTR void batch_normalize_typed(const BatchNormArgs& args, T* y) {
  const BatchNormGeometry& g = args.geometry;
  const T *const x = in<T>(args.x), *const residual = in<T>(args.residual);
  const Channels<T> of(args);
  const auto each = [&](auto end) HWY_ATTR {  // of the op, given the normalised x and its index
    for_each_element<T>(g,
                        [=, mean = of.mean, scale = of.scale, offset = of.offset](std::int64_t c) HWY_ATTR {
                          return [=, m = mean[c], factor = scale[c], summand = offset[c]](std::int64_t i)
                                     HWY_ATTR { y[i] = end(normalized(x[i], m, factor, summand), i); };
                        });
  };
  const auto relu = [](T value) { return functors::Relu::forward(value, 0, 0); };
  if (residual == nullptr && !args.relu) return each([](T value, std::int64_t) HWY_ATTR { return value; });
  if (residual == nullptr) return each([=](T value, std::int64_t) HWY_ATTR { return relu(value); });
  if (!args.relu) return each([=](T value, std::int64_t i) HWY_ATTR { return value + residual[i]; });
  each([=](T value, std::int64_t i) HWY_ATTR { return relu(value + residual[i]); });
}

/// The gradient before relu from that of its output y, given x where there was no residual.
template <class T>
MP_INLINE T masked(T g, T y) {
  return functors::Relu::backward(g, y, 0, 0);
}

template <class T>
HWY_ATTR void batch_sums_typed(const BatchNormArgs& args, const BatchNormGradients& gradients) {
  const BatchNormGeometry& g = args.geometry;
  const T *dy = in<T>(gradients.g), *x = in<T>(args.x);
  T *sum_g = out<T>(gradients.sum_g), *sum_gx = out<T>(gradients.sum_gx);
  const Channels<T> of(args);
  const T *mean = of.mean, *inv_std = of.inv_std, *scale = of.scale, *offset = of.offset;
  const auto finish = [=](std::int64_t channel, double sum, double product) {
    sum_g[channel] = static_cast<T>(sum);
    sum_gx[channel] = static_cast<T>(product * static_cast<double>(inv_std[channel]));
  };
  if (!args.relu)
    return for_each_channel<T>(
        g,
        [=](std::int64_t channel) HWY_ATTR {
          return [dy, x, m = mean[channel]](std::int64_t i)
                     HWY_ATTR { return Terms<T>{dy[i], dy[i] * (x[i] - m)}; };
        },
        finish);
  if (gradients.y != nullptr)
    return for_each_channel<T>(
        g,
        [=, y = in<T>(gradients.y), kept = out<T>(gradients.masked)](std::int64_t channel) HWY_ATTR {
          return [=, m = mean[channel]](std::int64_t i) HWY_ATTR {
            const T gradient = masked(dy[i], y[i]);
            kept[i] = gradient;
            return Terms<T>{gradient, gradient * (x[i] - m)};
          };
        },
        finish);
  for_each_channel<T>(
      g,
      [=](std::int64_t channel) HWY_ATTR {
        return [=, m = mean[channel], factor = scale[channel], summand = offset[channel]](std::int64_t i)
                   HWY_ATTR {
                     const T gradient = masked(dy[i], normalized(x[i], m, factor, summand));
                     return Terms<T>{gradient, gradient * (x[i] - m)};
                   };
      },
      finish);
}

template <class T, int beta>
HWY_ATTR void batch_data_gradient_typed(const BatchNormArgs& args, const BatchNormGradients& gradients) {
  const BatchNormGeometry& g = args.geometry;
  const T *dy = in<T>(gradients.g), *x = in<T>(args.x);
  const std::int64_t count = gradients.count;
  T* const dx = out<T>(gradients.dx.data);
  const Channels<T> of(args);
  if (count == 0)
    return for_each_element<T>(g, [=, scale = of.scale](std::int64_t c) HWY_ATTR {
      return [=, factor = scale[c]](std::int64_t i)
                 HWY_ATTR { dx[i] = factor * dy[i] + (beta == 0 ? T(0) : dx[i]); };
    });
  // What is taken from each element: a number of its channel, and one times its distance from the mean.
  T* const shift = scratch<ChannelTerms, T>(2 * g.channels);
  T* const slope = shift + g.channels;
  for (std::int64_t c = 0; c < g.channels; ++c) {
    const T factor = (args.group == 0 ? of.scale[c] : of.inv_std[c]) / static_cast<T>(count);
    shift[c] = factor * in<T>(gradients.sum_g)[of.statistic(c)];
    slope[c] = factor * of.inv_std[c] * in<T>(gradients.sum_gx)[of.statistic(c)];
  }
  const auto each = [&](auto gradient) HWY_ATTR {  // given g and the normalised x
    for_each_element<T>(
        g, [=, mean = of.mean, scale = of.scale, offset = of.offset](std::int64_t c) HWY_ATTR {
          return [=, m = mean[c], factor = scale[c], summand = offset[c], less = shift[c],
                  part = slope[c]](std::int64_t i) HWY_ATTR {
            const T rest =
                factor * gradient(dy[i], normalized(x[i], m, factor, summand)) - less - (x[i] - m) * part;
            dx[i] = rest + (beta == 0 ? T(0) : dx[i]);
          };
        });
  };
  if (args.relu) return each([](T of_y, T y) HWY_ATTR { return masked(of_y, y); });
  each([](T of_y, T) HWY_ATTR { return of_y; });
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
