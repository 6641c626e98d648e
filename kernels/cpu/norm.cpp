#include "kernels/norm.h"

#include "kernels/by_dtype.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/norm_sums.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
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

struct ChannelNumbers;
struct RepeatedCenters;
struct ChannelTerms;

// What is done to each element is written as of(channel)(element): of() holds a channel's numbers by value,
// so that a loop over its elements keeps them in registers whatever it stores.

constexpr std::int64_t kLongRow = 64;

/// Channels in a row that a loop goes along: where there are no inner dimensions those of several images, one
/// after the other, lest rows be shorter than vectors.
std::int64_t row_width(const BatchNormGeometry& g) {
  const bool repeats = g.inner == 1 && 0 < g.channels && g.channels < kLongRow;
  return repeats ? kLongRow / g.channels * g.channels : g.channels;
}

/// The sums of terms(channel)(element) over the elements of channels [channel, channel + width), of which
/// there is one unless there are no inner dimensions: a lane is a channel then. Calls finish(channel, sum of
/// firsts, sum of seconds) for each.
template <class T, class F, class Finish>
HWY_ATTR MP_INLINE void sum_channels(const BatchNormGeometry& g, std::int64_t channel, std::int64_t width,
                                     const F& terms, const Finish& finish) {
  if (g.inner == 1) {
    double first[kLongRow] = {}, second[kLongRow] = {};
    const std::int64_t images = width < g.channels ? 1 : row_width(g) / width;  // in a row
    for (std::int64_t image = 0; image < g.n; image += images) {
      const std::int64_t lanes = width * std::min(images, g.n - image), start = image * g.channels + channel;
      for (std::int64_t k = 0; k < lanes; ++k) {
        const Terms<T> term = terms(channel + k)(start + k);
        first[k] += static_cast<double>(term.first);
        second[k] += static_cast<double>(term.second);
      }
    }
    for (std::int64_t k = 0; k < width; ++k) {
      for (std::int64_t i = 1; i < images; ++i)
        first[k] += first[i * width + k], second[k] += second[i * width + k];
      finish(channel + k, first[k], second[k]);
    }
    return;
  }
  Sums sums;
  const auto term = terms(channel);
  for (std::int64_t image = 0; image < g.n; ++image) {
    const std::int64_t start = (image * g.channels + channel) * g.inner;
    add_run<T>(sums, g.inner, [=](std::int64_t i) HWY_ATTR { return term(start + i); });
  }
  finish(channel, total(sums.first), total(sums.second));
}

/// Calls f(channel, width) for channels as sum_channels takes them.
template <class F>
HWY_ATTR void for_each_channel(const BatchNormGeometry& g, const F& f) {
  const std::int64_t per_unit = g.inner == 1 ? kLanes : 1;
  parallel_for((g.channels + per_unit - 1) / per_unit, grain(g.n * g.inner * per_unit),
               [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
                 for (std::int64_t channel = begin * per_unit; channel < std::min(end * per_unit, g.channels);
                      channel += per_unit)
                   f(channel, std::min(per_unit, g.channels - channel));
               });
}

/// Calls f(channel)(element) for all elements, with the channels of a row.
template <class F>
HWY_ATTR void for_each_element(const BatchNormGeometry& g, const F& f) {
  if (g.inner == 1) {
    const std::int64_t width = row_width(g), count = g.n * g.channels;
    if (count == 0) return;
    parallel_for(
        (count + width - 1) / width, grain(width), [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
          for (std::int64_t start = begin * width; start < std::min(count, end * width); start += width) {
            const std::int64_t channels = std::min(width, count - start);
            MP_IVDEP
            for (std::int64_t channel = 0; channel < channels; ++channel) f(channel)(start + channel);
          }
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

// What loops do is in structs, not lambdas, whose names would be a good part of the object.

template <class T>
struct Values {
  const T* x;
  HWY_ATTR auto operator()(std::int64_t) const {
    return [x = x](std::int64_t i) HWY_ATTR { return Terms<T>{x[i], 0}; };
  }
};

template <class T>
struct SquaredDistances {
  const T *x, *centers;
  HWY_ATTR auto operator()(std::int64_t channel) const {
    return [x = x, center = centers[channel]](std::int64_t i) HWY_ATTR {
      const T difference = x[i] - center;
      return Terms<T>{difference * difference, 0};
    };
  }
};

template <class T>
HWY_ATTR void batch_statistics_typed(const BatchNormGeometry& g, const T* x, const BatchMoments& moments) {
  T *const mean = out<T>(moments.mean), *const variance = out<T>(moments.variance);
  const double count = static_cast<double>(g.n * g.inner);
  const auto write_to = [=](T* averages) {
    return [=](std::int64_t channel, double sum, double) { averages[channel] = static_cast<T>(sum / count); };
  };
  T* const centers = scratch<RepeatedCenters, T>(row_width(g));
  // The second pass over a channel finds it in the cache.
  for_each_channel(g, [=](std::int64_t first, std::int64_t width) HWY_ATTR {
    sum_channels<T>(g, first, width, Values<T>{x}, write_to(mean));
    for (std::int64_t c = first; c < (width < g.channels ? first + width : row_width(g)); ++c)
      centers[c] = mean[c % g.channels];
    sum_channels<T>(g, first, width, SquaredDistances<T>{x, centers}, write_to(variance));
  });
  T* const inv_std = out<T>(moments.inv_std);
  if (inv_std == nullptr) return;
  for (std::int64_t c = 0; c < g.channels; ++c) inv_std[c] = inverse_std(variance[c], moments.eps);
}

/// What each channel of a row is normalised by.
template <class T>
struct Channels {
  const BatchNormArgs& args;
  std::int64_t width;
  T *mean, *inv_std, *scale, *offset;  // scale: inv_std weight

  HWY_ATTR explicit Channels(const BatchNormArgs& arguments)
      : args(arguments), width(row_width(args.geometry)), mean(scratch<ChannelNumbers, T>(4 * width)) {
    inv_std = mean + width, scale = inv_std + width, offset = scale + width;
    const T *weight = in<T>(args.weight), *bias = in<T>(args.bias);
    for (std::int64_t c = 0; c < width; ++c) {
      const std::int64_t channel = c % args.geometry.channels;
      const std::int64_t parameter = args.group == 0 ? channel : channel % args.parameters;
      mean[c] = in<T>(args.mean)[statistic(c)];
      inv_std[c] = in<T>(args.inv_std)[statistic(c)];
      scale[c] = inv_std[c] * (weight == nullptr ? T(1) : weight[parameter]);
      offset[c] = bias == nullptr ? T(0) : bias[parameter];
    }
  }
  /// The number of its mean, inv_std and, in the data gradient, sums.
  std::int64_t statistic(std::int64_t c) const {
    const std::int64_t channel = c % args.geometry.channels;
    return args.group == 0 ? channel : channel / args.group;
  }
};

template <class T, bool adds, bool ends_in_relu>
struct Normalize {
  const T *x, *residual, *mean, *scale, *offset;
  T* y;

  HWY_ATTR auto operator()(std::int64_t c) const {
    return [=, *this, m = mean[c], factor = scale[c], summand = offset[c]](std::int64_t i) HWY_ATTR {
      T value = normalized(x[i], m, factor, summand);
      if (adds) value += residual[i];
      y[i] = ends_in_relu ? functors::Relu::forward(value, 0, 0) : value;
    };
  }
};

template <class T>
HWY_ATTR void batch_normalize_typed(const BatchNormArgs& args, T* y) {
  const Channels<T> of(args);
  const auto run = [&]<bool adds, bool ends_in_relu>() HWY_ATTR {
    for_each_element(args.geometry, Normalize<T, adds, ends_in_relu>{in<T>(args.x), in<T>(args.residual),
                                                                     of.mean, of.scale, of.offset, y});
  };
  if (args.residual == nullptr)
    args.relu ? run.template operator()<false, true>() : run.template operator()<false, false>();
  else
    args.relu ? run.template operator()<true, true>() : run.template operator()<true, false>();
}

/// The gradient before relu from that of its output y, given x where there was no residual.
template <class T>
MP_INLINE T masked(T g, T y) {
  return functors::Relu::backward(g, y, 0, 0);
}

/// Terms of the sums of g and of g (x - mean). With `recomputes` g is masked by the result of relu, which is
/// computed again; with `keeps` by y, and kept.
template <class T, bool recomputes, bool keeps>
struct GradientTerms {
  const T *dy, *x, *y, *mean, *scale, *offset;
  T* kept;

  HWY_ATTR auto operator()(std::int64_t channel) const {
    return [=, *this, m = mean[channel], factor = scale[channel], summand = offset[channel]](std::int64_t i)
               HWY_ATTR {
                 T gradient = dy[i];
                 if (keeps) kept[i] = gradient = masked(gradient, y[i]);
                 if (recomputes) gradient = masked(gradient, normalized(x[i], m, factor, summand));
                 return Terms<T>{gradient, gradient * (x[i] - m)};
               };
  }
};

template <class T, bool recomputes, bool keeps>
HWY_ATTR void sum_gradients(const BatchNormArgs& args, const BatchNormGradients& gradients) {
  const BatchNormGeometry& g = args.geometry;
  T *sum_g = out<T>(gradients.sum_g), *sum_gx = out<T>(gradients.sum_gx);
  const Channels<T> of(args);
  const GradientTerms<T, recomputes, keeps> terms{
      in<T>(gradients.g), in<T>(args.x), in<T>(gradients.y),      of.mean,
      of.scale,           of.offset,     out<T>(gradients.masked)};
  for_each_channel(g, [&](std::int64_t first, std::int64_t width) HWY_ATTR {
    sum_channels<T>(g, first, width, terms, [&](std::int64_t channel, double sum, double product) {
      sum_g[channel] = static_cast<T>(sum);
      sum_gx[channel] = static_cast<T>(product * static_cast<double>(of.inv_std[channel]));
    });
  });
}

/// Without sums: dx = beta dx + scale g.
template <class T, int beta>
struct ScaledGradient {
  const T *dy, *scale;
  T* dx;

  HWY_ATTR auto operator()(std::int64_t c) const {
    return [=, *this, factor = scale[c]](std::int64_t i)
               HWY_ATTR { dx[i] = factor * dy[i] + (beta == 0 ? T(0) : dx[i]); };
  }
};

/// From each element is taken a number of its channel, and one times its distance from the mean.
template <class T, int beta, bool relu>
struct DataGradient {
  const T *dy, *x, *mean, *scale, *offset, *shift, *slope;
  T* dx;

  HWY_ATTR auto operator()(std::int64_t c) const {
    return [=, *this, m = mean[c], factor = scale[c], summand = offset[c], less = shift[c],
            part = slope[c]](std::int64_t i) HWY_ATTR {
      const T gradient = relu ? masked(dy[i], normalized(x[i], m, factor, summand)) : dy[i];
      const T rest = factor * gradient - less - (x[i] - m) * part;
      dx[i] = rest + (beta == 0 ? T(0) : dx[i]);
    };
  }
};

template <class T, int beta>
HWY_ATTR void batch_data_gradient_typed(const BatchNormArgs& args, const BatchNormGradients& gradients) {
  const BatchNormGeometry& g = args.geometry;
  const T *dy = in<T>(gradients.g), *x = in<T>(args.x);
  const std::int64_t count = gradients.count;
  T* const dx = out<T>(gradients.dx.data);
  const Channels<T> of(args);
  if (count == 0) return for_each_element(g, ScaledGradient<T, beta>{dy, of.scale, dx});
  T* const shift = scratch<ChannelTerms, T>(2 * of.width);
  T* const slope = shift + of.width;
  for (std::int64_t c = 0; c < of.width; ++c) {
    const T factor = (args.group == 0 ? of.scale[c] : of.inv_std[c]) / static_cast<T>(count);
    shift[c] = factor * in<T>(gradients.sum_g)[of.statistic(c)];
    slope[c] = factor * of.inv_std[c] * in<T>(gradients.sum_gx)[of.statistic(c)];
  }
  const auto run = [&]<bool relu>() HWY_ATTR {
    for_each_element(g, DataGradient<T, beta, relu>{dy, x, of.mean, of.scale, of.offset, shift, slope, dx});
  };
  args.relu ? run.template operator()<true>() : run.template operator()<false>();
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
  with_type(dtype, [&]<class T>() {
    (!args.relu               ? sum_gradients<T, false, false>
     : gradients.y == nullptr ? sum_gradients<T, true, false>
                              : sum_gradients<T, false, true>)(args, gradients);
  });
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
