#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/moments.cuh"
#include "kernels/cuda/device/stored.cuh"
#include "kernels/cuda/device/two_stage.cuh"
#include "kernels/cuda/norm/channel_packs.h"
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

/// How many elements of a channel that are neighbours are taken at once: of 16 bits 8 or 4, where they all
/// lie in packs.
template <class T, class... Pointers>
int pack_within_channels(const BatchNormGeometry& g, const Pointers*... arrays) {
  if constexpr (kIsHalf<T>)
    for (const int pack : {8, 4})
      if (g.inner % pack == 0 && are_aligned(static_cast<std::uintptr_t>(pack) * sizeof(T), arrays...))
        return pack;
  return 1;
}
/// Calls f for it as a constant.
template <class T, class F>
__device__ void with_pack(int pack, const F& f) {
  if constexpr (kIsHalf<T>) {
    if (pack == 8) return f.template operator()<8>();
    if (pack == 4) return f.template operator()<4>();
  }
  f.template operator()<1>();
}
BatchNormGeometry in_packs(BatchNormGeometry g, int pack) {
  g.inner /= pack;
  return g;
}

template <class T>
struct ChannelMoments {
  using Values = Moments;
  using C = Computed<T>;
  BatchNormGeometry packs;
  int pack;
  const T* x;
  C *mean, *variance, *inv_std;
  double eps;

  /// The channel's first element: its numbers are taken as distances from it.
  __device__ C origin(std::int64_t channel) const { return read(x[channel * packs.inner * pack]); }
  __device__ Moments part(std::int64_t channel, std::int64_t begin, std::int64_t end,
                          std::int64_t step) const {
    if (begin >= end) return Values::initial();
    const C from = origin(channel);
    RunningMoments<C> running;
    with_pack<T>(pack, [&]<int N>() {
      ChannelWalk walk(packs, channel, begin, step);
      for (std::int64_t i = begin; i < end; i += step, walk.next()) {
        Pack<C, N> values = read_pack<N>(x, walk.at() * N);
        MP_UNROLL
        for (int k = 0; k < N; ++k) values.at[k] -= from;
        if constexpr (N == 1)
          running.add(values.at[0]);
        else
          running.add(values.at);
      }
    });
    return running;
  }
  __device__ void store(std::int64_t channel, const Moments& total) const {
    const C from = total.count > 0 ? origin(channel) : std::numeric_limits<C>::quiet_NaN();
    mean[channel] = static_cast<C>(static_cast<double>(from) + total.mean);
    const C spread = static_cast<C>(total.deviations / total.count);
    variance[channel] = spread;
    if (inv_std != nullptr) inv_std[channel] = inverse_std(spread, eps);
  }
};

/// The numbers of a call, of one type; `grouped`: of a group normalisation.
template <class T, bool grouped>
struct Channels {
  using C = Computed<T>;
  const T* x;
  const C *mean, *inv_std, *weight, *bias;
  const T* residual;
  bool relu;
  std::uint32_t group, parameters;

  explicit Channels(const BatchNormArgs& args)
      : x(in<T>(args.x)),
        mean(in<C>(args.mean)),
        inv_std(in<C>(args.inv_std)),
        weight(in<C>(args.weight)),
        bias(in<C>(args.bias)),
        residual(in<T>(args.residual)),
        relu(args.relu),
        group(static_cast<std::uint32_t>(args.group)),
        parameters(static_cast<std::uint32_t>(args.parameters)) {}

  /// Which numbers are a channel's.
  __device__ std::int64_t statistic(std::int64_t channel) const {
    return grouped ? static_cast<std::uint32_t>(channel) / group : channel;
  }
  __device__ std::int64_t parameter(std::int64_t channel) const {
    return grouped ? static_cast<std::uint32_t>(channel) % parameters : channel;
  }
  __device__ C weight_of(std::int64_t channel) const {
    return weight == nullptr ? C(1) : weight[parameter(channel)];
  }
  __device__ C bias_of(std::int64_t channel) const {
    return bias == nullptr ? C(0) : bias[parameter(channel)];
  }
  __device__ C scale(std::int64_t channel) const { return inv_std[statistic(channel)] * weight_of(channel); }
  /// Of elements i to i + N, the k-th of which is of channel_of(k).
  template <int N, class ChannelOf>
  __device__ Pack<C, N> normalized_at(std::int64_t i, const ChannelOf& channel_of) const {
    Pack<C, N> values = read_pack<N>(x, i);
    MP_UNROLL
    for (int k = 0; k < N; ++k) {
      const std::int64_t channel = channel_of(k);
      values.at[k] = normalized(values.at[k], mean[statistic(channel)], scale(channel), bias_of(channel));
    }
    return values;
  }
  /// The gradients before relu from those of y.
  template <int N, class ChannelOf>
  __device__ Pack<C, N> masked(Pack<C, N> g, const T* y, std::int64_t i, const ChannelOf& channel_of) const {
    if (!relu) return g;
    const Pack<C, N> results = y == nullptr ? normalized_at<N>(i, channel_of) : read_pack<N>(y, i);
    MP_UNROLL
    for (int k = 0; k < N; ++k) g.at[k] = functors::Relu::backward(g.at[k], results.at[k], 0, 0);
    return g;
  }
};

template <class T, bool grouped>
struct ChannelSums {
  using Values = Sums;
  using C = Computed<T>;
  BatchNormGeometry packs;
  int pack;
  Channels<T, grouped> of;
  const T *g, *y;
  C *sum_g, *sum_gx;
  T* masked;

  __device__ Sums part(std::int64_t channel, std::int64_t begin, std::int64_t end, std::int64_t step) const {
    Sums sums = Values::initial();
    if (begin >= end) return sums;
    const C center = of.mean[of.statistic(channel)];
    with_pack<T>(pack, [&]<int N>() {
      ChannelWalk walk(packs, channel, begin, step);
      for (std::int64_t i = begin; i < end; i += step, walk.next()) {
        const std::int64_t at = walk.at() * N;
        const Pack<C, N> x = read_pack<N>(of.x, at);
        const Pack<C, N> gradient = of.masked(read_pack<N>(g, at), y, at, [=](int) { return channel; });
        if (masked != nullptr) write_pack<N>(masked, at, gradient);
        C first = 0, second = 0;
        MP_UNROLL
        for (int k = 0; k < N; ++k) first += gradient.at[k], second += gradient.at[k] * (x.at[k] - center);
        sums.add(first, second);
      }
    });
    return sums;
  }
  __device__ void store(std::int64_t channel, const Sums& total) const {
    sum_g[channel] = static_cast<C>(total.first);
    sum_gx[channel] = static_cast<C>(total.second * static_cast<double>(of.inv_std[of.statistic(channel)]));
  }
};

/// Calls f.operator()<N>(i, channel_of) for the thread's share of elements `first` to before `last` of an
/// (n, channels, inner) array, N at a time; i + k is of channel_of(k). Again without a division for every
/// element.
template <int N, class F>
__device__ void for_each_pack(const BatchNormGeometry& g, std::int64_t first, std::int64_t last, const F& f) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x * N;
  std::int64_t at = first + (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * N;
  if (at >= last) return;
  std::int64_t position = at % g.inner, channel = at / g.inner % g.channels;
  const std::int64_t step_position = step % g.inner, step_channel = step / g.inner % g.channels;
  for (; at < last; at += step) {
    if (N == 1 || position + N <= g.inner) {
      f.template operator()<N>(at, [=](int) { return channel; });
    } else {
      std::int64_t channels[N], place = position, current = channel;
      MP_UNROLL
      for (int k = 0; k < N; ++k) {
        channels[k] = current;
        if (++place < g.inner) continue;
        place = 0;
        if (++current == g.channels) current = 0;
      }
      f.template operator()<N>(at, [&](int k) { return channels[k]; });
    }
    position += step_position;
    channel += step_channel;
    if (position >= g.inner) position -= g.inner, ++channel;
    if (channel >= g.channels) channel -= g.channels;
  }
}

/// Of all elements, those of 16 bits in packs if they lie so.
template <class T, class F>
__device__ void for_each_element(const BatchNormGeometry& g, bool packed, const F& f) {
  const std::int64_t count = g.n * g.channels * g.inner;
  if constexpr (kIsHalf<T>) {
    const std::int64_t end = packed ? count / kPack<T> * kPack<T> : 0;
    for_each_pack<kPack<T>>(g, 0, end, f);
    for_each_pack<1>(g, end, count, f);
  } else {
    for_each_pack<1>(g, 0, count, f);
  }
}

template <class T, bool grouped>
__global__ void normalize_channels(BatchNormGeometry geometry, bool packed, Channels<T, grouped> of, T* y) {
  for_each_element<T>(geometry, packed, [&]<int N>(std::int64_t i, const auto& channel_of) {
    Pack<Computed<T>, N> sum = of.template normalized_at<N>(i, channel_of);
    if (of.residual != nullptr) {
      const Pack<Computed<T>, N> residual = read_pack<N>(of.residual, i);
      MP_UNROLL
      for (int k = 0; k < N; ++k) sum.at[k] += residual.at[k];
    }
    MP_UNROLL
    for (int k = 0; k < N; ++k)
      if (of.relu) sum.at[k] = functors::Relu::forward(sum.at[k], 0, 0);
    write_pack<N>(y, i, sum);
  });
}

template <class T, bool grouped>
__global__ void channels_gradient(BatchNormGeometry geometry, bool packed, Channels<T, grouped> of,
                                  const T* g, const Computed<T>* sum_g, const Computed<T>* sum_gx,
                                  std::int64_t count, T* dx, int beta) {
  using C = Computed<T>;
  const C inverse = count == 0 ? C(0) : C(1) / static_cast<C>(count);
  for_each_element<T>(geometry, packed, [&]<int N>(std::int64_t i, const auto& channel_of) {
    Pack<C, N> rest = of.masked(read_pack<N>(g, i), nullptr, i, channel_of);
    if (count != 0) {
      const Pack<C, N> x = read_pack<N>(of.x, i);
      MP_UNROLL
      for (int k = 0; k < N; ++k) {
        const std::int64_t channel = of.statistic(channel_of(k));
        if (grouped) rest.at[k] *= of.weight_of(channel_of(k));
        rest.at[k] -= sum_g[channel] * inverse +
                      (x.at[k] - of.mean[channel]) * of.inv_std[channel] * (sum_gx[channel] * inverse);
      }
    }
    Pack<C, N> before = {};
    if (beta != 0) before = read_pack<N>(dx, i);
    MP_UNROLL
    for (int k = 0; k < N; ++k) {
      const std::int64_t channel = channel_of(k);
      const C value = (grouped ? of.inv_std[of.statistic(channel)] : of.scale(channel)) * rest.at[k];
      rest.at[k] = beta == 0 ? value : before.at[k] + value;
    }
    write_pack<N>(dx, i, rest);
  });
}

/// Per thread, which pay for its divisions.
template <class T>
constexpr std::int64_t kElements = kIsHalf<T> ? 16 : 8;

template <class T, class... Parameters, class... Arguments>
void launch_elements(Stream stream, void (*kernel)(BatchNormGeometry, bool, Parameters...),
                     const BatchNormGeometry& g, bool packed, const Arguments&... arguments) {
  const std::int64_t count = g.n * g.channels * g.inner;
  if (count == 0) return;
  launch_on(stream, kernel, grid_for((count + kElements<T> - 1) / kElements<T>, stream.device), kBlock, g,
            packed, arguments...);
}

/// Whether outputs are neighbours is asked of the geometry in elements.
template <class Reduction>
void launch_channels(Stream stream, const BatchNormGeometry& g, const Reduction& reduction) {
  reduce_in_two_stages(reduction, g.channels, g.n * reduction.packs.inner, g.inner == 1 && g.channels >= 8,
                       stream);
}

void batch_statistics(DType dtype, const BatchNormGeometry& geometry, const void* x,
                      const BatchMoments& moments, Stream stream) {
  with_stored_type(dtype, [&]<class T>() {
    using C = Computed<T>;
    if constexpr (sizeof(T) <= 4)
      if (lie_in_channel_packs<T>(geometry, x))
        return channel_pack_statistics<T>(geometry, x, moments, stream);
    const int pack = pack_within_channels<T>(geometry, x);
    launch_channels(stream, geometry,
                    ChannelMoments<T>{in_packs(geometry, pack), pack, in<T>(x), out<C>(moments.mean),
                                      out<C>(moments.variance), out<C>(moments.inv_std), moments.eps});
  });
}

/// Calls f for the type of the dtype, and whether the call is one of groups.
template <class F>
void with_kind(DType dtype, const BatchNormArgs& args, const F& f) {
  with_stored_type(dtype, [&]<class T>() {
    args.group == 0 ? f.template operator()<T, false>() : f.template operator()<T, true>();
  });
}

void batch_normalize(DType dtype, const BatchNormArgs& args, void* y, Stream stream) {
  with_kind(dtype, args, [&]<class T, bool grouped>() {
    if constexpr (sizeof(T) <= 4 && !grouped)
      if (lie_in_channel_packs<T>(args.geometry, args.x, args.residual, y))
        return normalize_in_packs<T>(args, y, stream);
    launch_elements<T>(stream, normalize_channels<T, grouped>, args.geometry,
                       are_aligned(16, args.x, args.residual, y), Channels<T, grouped>(args), out<T>(y));
  });
}

void batch_sums(DType dtype, const BatchNormArgs& args, const BatchNormGradients& gradients, Stream stream) {
  with_kind(dtype, args, [&]<class T, bool grouped>() {
    using C = Computed<T>;
    if constexpr (sizeof(T) <= 4 && !grouped)
      if (lie_in_channel_packs<T>(args.geometry, args.x, gradients.g, gradients.y, gradients.masked))
        return channel_pack_sums<T>(args, gradients, stream);
    const int pack =
        pack_within_channels<T>(args.geometry, args.x, gradients.g, gradients.y, gradients.masked);
    launch_channels(stream, args.geometry,
                    ChannelSums<T, grouped>{in_packs(args.geometry, pack), pack, Channels<T, grouped>(args),
                                            in<T>(gradients.g), in<T>(gradients.y), out<C>(gradients.sum_g),
                                            out<C>(gradients.sum_gx), out<T>(gradients.masked)});
  });
}

void batch_data_gradient(DType dtype, const BatchNormArgs& args, const BatchNormGradients& gradients,
                         Stream stream) {
  with_kind(dtype, args, [&]<class T, bool grouped>() {
    using C = Computed<T>;
    if constexpr (sizeof(T) <= 4 && !grouped)
      if (lie_in_channel_packs<T>(args.geometry, args.x, gradients.g, gradients.dx.data))
        return channel_pack_gradient<T>(args, gradients, stream);
    launch_elements<T>(stream, channels_gradient<T, grouped>, args.geometry,
                       are_aligned(16, args.x, gradients.g, gradients.dx.data), Channels<T, grouped>(args),
                       in<T>(gradients.g), in<C>(gradients.sum_g), in<C>(gradients.sum_gx), gradients.count,
                       out<T>(gradients.dx.data), gradients.dx.beta);
  });
}

}  // namespace

const Norm& norm() {
  static constexpr Norm launchers{MP_NORM(MP_LAUNCHER)};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
