#include "kernels/by_dtype.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/moments.cuh"
#include "kernels/cuda/device/two_stage.cuh"
#include "kernels/cuda/norm/layer_norm.h"
#include "kernels/cuda/norm/running_statistics.h"
#include "kernels/functors/activations.h"
#include "kernels/norm.h"

#include <limits>

namespace miniparallel::kernels::cuda {
namespace {

/// Walks over the elements of one channel of an (n, channels, inner) array: over first, first + step, ...,
/// counted within the channel, with divisions at the start only.
class ChannelWalk {
 public:
  __device__ ChannelWalk(const BatchNormGeometry& g, std::int64_t channel, std::int64_t first,
                         std::int64_t step)
      : inner_(g.inner), skip_((g.channels - 1) * g.inner) {
    position_ = first % inner_;
    at_ = (first / inner_ * g.channels + channel) * inner_ + position_;
    step_ = step % inner_;
    stride_ = step / inner_ * g.channels * inner_ + step_;
  }
  __device__ std::int64_t at() const { return at_; }
  __device__ void next() {
    at_ += stride_;
    position_ += step_;
    if (position_ < inner_) return;
    position_ -= inner_;
    at_ += skip_;
  }

 private:
  std::int64_t inner_, skip_, position_, at_, step_, stride_;
};

template <class T>
struct ChannelMoments {
  using Values = Moments;
  BatchNormGeometry geometry;
  const T* x;
  T *mean, *variance, *inv_std;
  double eps;

  /// The channel's first element: its numbers are taken as distances from it.
  __device__ T origin(std::int64_t channel) const { return x[channel * geometry.inner]; }
  __device__ Moments part(std::int64_t channel, std::int64_t begin, std::int64_t end,
                          std::int64_t step) const {
    if (begin >= end) return Values::initial();
    const T from = origin(channel);
    RunningMoments<T> running;
    ChannelWalk walk(geometry, channel, begin, step);
    for (std::int64_t i = begin; i < end; i += step, walk.next()) running.add(x[walk.at()] - from);
    return running;
  }
  __device__ void store(std::int64_t channel, const Moments& total) const {
    const T from = total.count > 0 ? origin(channel) : std::numeric_limits<T>::quiet_NaN();
    mean[channel] = static_cast<T>(static_cast<double>(from) + total.mean);
    const T spread = static_cast<T>(total.deviations / total.count);
    variance[channel] = spread;
    if (inv_std != nullptr) inv_std[channel] = inverse_std(spread, eps);
  }
};

/// The numbers of a call, of one type.
template <class T>
struct Channels {
  BatchNormGeometry geometry;
  const T *x, *mean, *inv_std, *weight, *bias, *residual;
  bool relu;

  explicit Channels(const BatchNormArgs& args)
      : geometry(args.geometry),
        x(in<T>(args.x)),
        mean(in<T>(args.mean)),
        inv_std(in<T>(args.inv_std)),
        weight(in<T>(args.weight)),
        bias(in<T>(args.bias)),
        residual(in<T>(args.residual)),
        relu(args.relu) {}

  __device__ T scale(std::int64_t channel) const {
    return inv_std[channel] * (weight == nullptr ? T(1) : weight[channel]);
  }
  __device__ T normalized_at(std::int64_t i, std::int64_t channel) const {
    return normalized(x[i], mean[channel], scale(channel), bias == nullptr ? T(0) : bias[channel]);
  }
  /// The gradient before relu from that of y.
  __device__ T masked(T g, const T* y, std::int64_t i, std::int64_t channel) const {
    if (!relu) return g;
    return functors::Relu::backward(g, y == nullptr ? normalized_at(i, channel) : y[i], 0, 0);
  }
};

template <class T>
struct ChannelSums {
  using Values = Sums;
  Channels<T> of;
  const T *g, *y;
  T *sum_g, *sum_gx, *masked;

  __device__ Sums part(std::int64_t channel, std::int64_t begin, std::int64_t end, std::int64_t step) const {
    Sums sums = Values::initial();
    if (begin >= end) return sums;
    const T center = of.mean[channel];
    ChannelWalk walk(of.geometry, channel, begin, step);
    for (std::int64_t i = begin; i < end; i += step, walk.next()) {
      const std::int64_t at = walk.at();
      const T gradient = of.masked(g[at], y, at, channel);
      if (masked != nullptr) masked[at] = gradient;
      sums.add(gradient, gradient * (of.x[at] - center));
    }
    return sums;
  }
  __device__ void store(std::int64_t channel, const Sums& total) const {
    sum_g[channel] = static_cast<T>(total.first);
    sum_gx[channel] = static_cast<T>(total.second * static_cast<double>(of.inv_std[channel]));
  }
};

/// Calls f(element, channel) for the thread's share of an (n, channels, inner) array, again without a
/// division for every element.
template <class F>
__device__ void for_each_element(const BatchNormGeometry& g, const F& f) {
  const std::int64_t count = g.n * g.channels * g.inner;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= count) return;
  std::int64_t position = at % g.inner, channel = at / g.inner % g.channels;
  const std::int64_t step_position = step % g.inner, step_channel = step / g.inner % g.channels;
  for (; at < count; at += step) {
    f(at, channel);
    position += step_position;
    channel += step_channel;
    if (position >= g.inner) position -= g.inner, ++channel;
    if (channel >= g.channels) channel -= g.channels;
  }
}

template <class T>
__global__ void normalize_channels(BatchNormGeometry geometry, Channels<T> of, T* y) {
  for_each_element(geometry, [&](std::int64_t i, std::int64_t channel) {
    const T sum = of.normalized_at(i, channel) + (of.residual == nullptr ? T(0) : of.residual[i]);
    y[i] = of.relu ? functors::Relu::forward(sum, 0, 0) : sum;
  });
}

template <class T>
__global__ void channels_gradient(BatchNormGeometry geometry, Channels<T> of, const T* g, const T* sum_g,
                                  const T* sum_gx, std::int64_t count, T* dx, int beta) {
  const T inverse = count == 0 ? T(0) : T(1) / static_cast<T>(count);
  for_each_element(geometry, [&](std::int64_t i, std::int64_t channel) {
    T rest = of.masked(g[i], nullptr, i, channel);
    if (count != 0)
      rest -= sum_g[channel] * inverse +
              (of.x[i] - of.mean[channel]) * of.inv_std[channel] * (sum_gx[channel] * inverse);
    const T value = of.scale(channel) * rest;
    dx[i] = beta == 0 ? value : dx[i] + value;
  });
}

constexpr std::int64_t kElements = 8;  // per thread, which pay for its divisions

template <class... Parameters, class... Arguments>
void launch_elements(Stream stream, void (*kernel)(BatchNormGeometry, Parameters...),
                     const BatchNormGeometry& g, const Arguments&... arguments) {
  const std::int64_t count = g.n * g.channels * g.inner;
  if (count == 0) return;
  launch_on(stream, kernel, grid_for((count + kElements - 1) / kElements, stream.device), kBlock, g,
            arguments...);
}

template <class Reduction>
void launch_channels(Stream stream, const BatchNormGeometry& g, const Reduction& reduction) {
  reduce_in_two_stages(reduction, g.channels, g.n * g.inner, g.inner == 1 && g.channels >= 8, stream);
}

void batch_statistics(DType dtype, const BatchNormGeometry& geometry, const void* x,
                      const BatchMoments& moments, Stream stream) {
  with_type(dtype, [&]<class T>() {
    launch_channels(stream, geometry,
                    ChannelMoments<T>{geometry, in<T>(x), out<T>(moments.mean), out<T>(moments.variance),
                                      out<T>(moments.inv_std), moments.eps});
  });
}

void batch_normalize(DType dtype, const BatchNormArgs& args, void* y, Stream stream) {
  with_type(dtype, [&]<class T>() {
    launch_elements(stream, normalize_channels<T>, args.geometry, Channels<T>(args), out<T>(y));
  });
}

void batch_sums(DType dtype, const BatchNormArgs& args, const BatchNormGradients& gradients, Stream stream) {
  with_type(dtype, [&]<class T>() {
    launch_channels(
        stream, args.geometry,
        ChannelSums<T>{Channels<T>(args), in<T>(gradients.g), in<T>(gradients.y), out<T>(gradients.sum_g),
                       out<T>(gradients.sum_gx), out<T>(gradients.masked)});
  });
}

void batch_data_gradient(DType dtype, const BatchNormArgs& args, const BatchNormGradients& gradients,
                         Stream stream) {
  with_type(dtype, [&]<class T>() {
    launch_elements(stream, channels_gradient<T>, args.geometry, Channels<T>(args), in<T>(gradients.g),
                    in<T>(gradients.sum_g), in<T>(gradients.sum_gx), gradients.count,
                    out<T>(gradients.dx.data), gradients.dx.beta);
  });
}

}  // namespace

const Norm& norm() {
  static constexpr Norm launchers{MP_NORM(MP_LAUNCHER)};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
