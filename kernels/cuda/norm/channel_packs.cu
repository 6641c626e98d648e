#include "kernels/cuda/device/moments.cuh"
#include "kernels/cuda/device/stored.cuh"
#include "kernels/cuda/device/two_stage.cuh"
#include "kernels/cuda/norm/channel_packs.h"
#include "kernels/functors/activations.h"

#include <algorithm>
#include <limits>

// A thread has a pack of channels, whose numbers it keeps in registers, and steps over the rows of an
// (n, channels) array. Neighbours in x have neighbouring packs.

namespace miniparallel::kernels::cuda {
namespace {

/// One number for each channel of a pack.
template <class T>
struct Numbers {
  using C = Computed<T>;
  C at[kPack<T>];

  __device__ Numbers(const C* numbers, std::int64_t channel, C otherwise) {
    MP_UNROLL
    for (int k = 0; k < kPack<T>; ++k) at[k] = numbers == nullptr ? otherwise : numbers[channel + k];
  }
};

/// The numbers of a call, of one type.
template <class T>
struct PackArgs {
  using C = Computed<T>;
  std::int64_t rows, channels;
  const T* x;
  const C *mean, *inv_std, *weight, *bias;
  const T* residual;
  bool relu;

  explicit PackArgs(const BatchNormArgs& args)
      : rows(args.geometry.n),
        channels(args.geometry.channels),
        x(static_cast<const T*>(args.x)),
        mean(static_cast<const C*>(args.mean)),
        inv_std(static_cast<const C*>(args.inv_std)),
        weight(static_cast<const C*>(args.weight)),
        bias(static_cast<const C*>(args.bias)),
        residual(static_cast<const T*>(args.residual)),
        relu(args.relu) {}
};

/// Those of a thread's channels.
template <class T>
struct PackNumbers {
  static constexpr int N = kPack<T>;
  using C = Computed<T>;
  Numbers<T> mean, scale, bias;

  __device__ PackNumbers(const PackArgs<T>& of, std::int64_t channel)
      : mean(of.mean, channel, 0), scale(of.weight, channel, 1), bias(of.bias, channel, 0) {
    MP_UNROLL
    for (int k = 0; k < N; ++k) scale.at[k] *= of.inv_std[channel + k];
  }
  __device__ Pack<C, N> normalize(Pack<C, N> x) const {
    MP_UNROLL
    for (int k = 0; k < N; ++k) x.at[k] = normalized(x.at[k], mean.at[k], scale.at[k], bias.at[k]);
    return x;
  }
  __device__ static Pack<C, N> masked(Pack<C, N> g, const Pack<C, N>& y) {
    MP_UNROLL
    for (int k = 0; k < N; ++k) g.at[k] = functors::Relu::backward(g.at[k], y.at[k], 0, 0);
    return g;
  }
};

// --- sums over the rows

template <class T>
struct PackMoments {
  using Values = Moments;
  using C = Computed<T>;
  static constexpr int N = kPack<T>;
  std::int64_t channels;
  const T* x;
  C *mean, *variance, *inv_std;
  double eps;

  /// Of each channel's distances from its first element.
  struct Running {
    C count = 0, mean[N] = {}, deviations[N] = {};
    __device__ Moments at(int k) const {
      return {static_cast<double>(count), static_cast<double>(mean[k]), static_cast<double>(deviations[k])};
    }
  };
  __device__ Running part(std::int64_t channel, std::int64_t begin, std::int64_t end,
                          std::int64_t step) const {
    Running running;
    if (begin >= end) return running;
    const Pack<C, N> origin = read_pack<N>(x, channel);
    for_each_in_batches<4>(
        begin, end, step, [&](std::int64_t row) { return pack_at<N>(x, row * channels + channel); },
        [&](const Pack<T, N>& values, std::int64_t) {
          running.count += C(1);
          const C weight = C(1) / running.count;
          MP_UNROLL
          for (int k = 0; k < N; ++k) {
            const C value = read(values.at[k]) - origin.at[k], difference = value - running.mean[k];
            running.mean[k] += difference * weight;
            running.deviations[k] += difference * (value - running.mean[k]);
          }
        });
    return running;
  }
  __device__ void store(std::int64_t channel, const Moments& total) const {
    const C from = total.count > 0 ? read(x[channel]) : std::numeric_limits<C>::quiet_NaN();
    mean[channel] = static_cast<C>(static_cast<double>(from) + total.mean);
    const C spread = static_cast<C>(total.deviations / total.count);
    variance[channel] = spread;
    if (inv_std != nullptr) inv_std[channel] = inverse_std(spread, eps);
  }
};

template <class T>
struct PackSums {
  using Values = Sums;
  using C = Computed<T>;
  static constexpr int N = kPack<T>, kRows = 8;  // summed in C, those sums in float64
  PackArgs<T> of;
  const T *g, *y;
  C *sum_g, *sum_gx;
  T* masked;

  struct Running {
    double first[N] = {}, second[N] = {};
    __device__ Sums at(int k) const { return {first[k], second[k]}; }
  };
  __device__ Running part(std::int64_t channel, std::int64_t begin, std::int64_t end,
                          std::int64_t step) const {
    Running running;
    if (begin >= end) return running;
    const PackNumbers<T> numbers(of, channel);
    while (begin < end) {
      C first[N] = {}, second[N] = {};
      for (int row = 0; row < kRows && begin < end; ++row, begin += step) {
        const std::int64_t at = begin * of.channels + channel;
        const Pack<C, N> x = read_pack<N>(of.x, at);
        Pack<C, N> gradient = read_pack<N>(g, at);
        if (of.relu)
          gradient = numbers.masked(gradient, y == nullptr ? numbers.normalize(x) : read_pack<N>(y, at));
        if (masked != nullptr) write_pack<N>(masked, at, gradient);
        MP_UNROLL
        for (int k = 0; k < N; ++k) {
          first[k] += gradient.at[k];
          second[k] += gradient.at[k] * (x.at[k] - numbers.mean.at[k]);
        }
      }
      MP_UNROLL
      for (int k = 0; k < N; ++k) {
        running.first[k] += static_cast<double>(first[k]);
        running.second[k] += static_cast<double>(second[k]);
      }
    }
    return running;
  }
  __device__ void store(std::int64_t channel, const Sums& total) const {
    sum_g[channel] = static_cast<C>(total.first);
    sum_gx[channel] = static_cast<C>(total.second * static_cast<double>(of.inv_std[channel]));
  }
};

/// The first stage, as reduce_chunks: an output of the plan is a pack.
template <class Reduction>
__global__ void __launch_bounds__(kBlock, 2)
    reduce_channel_packs(Reduction reduction, TwoStagePlan plan, AccumulatorOf<Reduction>* partials) {
  constexpr int N = Reduction::N;
  const ChunkShare share = ChunkShare::mine(plan);
  AccumulatorOf<Reduction> sums[N];
  {
    typename Reduction::Running running;
    if (share.output < plan.outputs)
      running = reduction.part(share.output * N, share.begin, share.end, share.step);
    MP_UNROLL
    for (int k = 0; k < N; ++k) sums[k] = running.at(k);
  }
  combine_packs_over_y<typename Reduction::Values, N>(sums);
  if (threadIdx.y != 0 || share.output >= plan.outputs) return;
  MP_UNROLL
  for (int k = 0; k < N; ++k) {
    const std::int64_t channel = share.output * N + k;
    if (partials == nullptr)
      reduction.store(channel, sums[k]);
    else
      partials[blockIdx.y * plan.outputs * N + channel] = sums[k];
  }
}

// --- elements

template <class T>
__global__ void __launch_bounds__(kBlock, 2) normalize_channel_packs(PackArgs<T> of, T* y) {
  constexpr int N = kPack<T>;
  const std::int64_t channel = (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * N;
  if (channel >= of.channels) return;
  const PackNumbers<T> numbers(of, channel);
  const std::int64_t step = static_cast<std::int64_t>(gridDim.y) * blockDim.y;
  for (std::int64_t row = static_cast<std::int64_t>(blockIdx.y) * blockDim.y + threadIdx.y; row < of.rows;
       row += step) {
    const std::int64_t at = row * of.channels + channel;
    Pack<Computed<T>, N> sum = numbers.normalize(read_pack<N>(of.x, at));
    if (of.residual != nullptr) {
      const Pack<Computed<T>, N> residual = read_pack<N>(of.residual, at);
      MP_UNROLL
      for (int k = 0; k < N; ++k) sum.at[k] += residual.at[k];
    }
    MP_UNROLL
    for (int k = 0; k < N; ++k)
      if (of.relu) sum.at[k] = functors::Relu::forward(sum.at[k], 0, 0);
    write_pack<N>(y, at, sum);
  }
}

template <class T>
__global__ void __launch_bounds__(kBlock, 2)
    channel_packs_gradient(PackArgs<T> of, const T* g, const Computed<T>* sum_g, const Computed<T>* sum_gx,
                           std::int64_t count, T* dx, int beta) {
  constexpr int N = kPack<T>;
  using C = Computed<T>;
  const std::int64_t channel = (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * N;
  if (channel >= of.channels) return;
  const PackNumbers<T> numbers(of, channel);
  const C inverse = count == 0 ? C(0) : C(1) / static_cast<C>(count);
  const Numbers<T> inv_std(of.inv_std, channel, 0);
  Numbers<T> mean_g(count == 0 ? nullptr : sum_g, channel, 0),
      mean_gx(count == 0 ? nullptr : sum_gx, channel, 0);
  MP_UNROLL
  for (int k = 0; k < N; ++k) mean_g.at[k] *= inverse, mean_gx.at[k] *= inverse;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.y) * blockDim.y;
  for (std::int64_t row = static_cast<std::int64_t>(blockIdx.y) * blockDim.y + threadIdx.y; row < of.rows;
       row += step) {
    const std::int64_t at = row * of.channels + channel;
    Pack<C, N> rest = read_pack<N>(g, at);
    if (count != 0 || of.relu) {
      const Pack<C, N> x = read_pack<N>(of.x, at);
      if (of.relu) rest = numbers.masked(rest, numbers.normalize(x));
      MP_UNROLL
      for (int k = 0; k < N; ++k)
        if (count != 0)
          rest.at[k] -= mean_g.at[k] + (x.at[k] - numbers.mean.at[k]) * inv_std.at[k] * mean_gx.at[k];
    }
    Pack<C, N> before = {};
    if (beta != 0) before = read_pack<N>(dx, at);
    MP_UNROLL
    for (int k = 0; k < N; ++k) {
      const C value = numbers.scale.at[k] * rest.at[k];
      rest.at[k] = beta == 0 ? value : before.at[k] + value;
    }
    write_pack<N>(dx, at, rest);
  }
}

// --- launchers

template <class Reduction>
void reduce_packs(const Reduction& reduction, std::int64_t channels, std::int64_t rows, Stream stream) {
  using Accumulator = AccumulatorOf<Reduction>;
  const TwoStagePlan plan = make_pack_plan(channels, rows, Reduction::N, sizeof(Accumulator));
  auto* const partials = plan.chunks == 1 ? nullptr : static_cast<Accumulator*>(workspace(stream));
  launch_chunks(stream, reduce_channel_packs<Reduction>, reduction, plan, partials);
  if (partials == nullptr) return;
  TwoStagePlan sums = plan;
  sums.outputs = channels, sums.x = 32, sums.y = kBlock / 32;
  sums.grid_x = static_cast<unsigned>((channels + sums.x - 1) / sums.x);
  launch_blocks(stream, reduce_partials<Reduction>, dim3(sums.grid_x), dim3(sums.x, sums.y), reduction, sums,
                partials);
}

template <class T, class... Parameters, class... Arguments>
void launch_packs(Stream stream, void (*kernel)(Parameters...), const BatchNormGeometry& g,
                  const Arguments&... arguments) {
  constexpr std::int64_t rows_of_thread = 4;  // which pay for the numbers of its channels
  if (g.n == 0) return;
  const TwoStagePlan plan = make_pack_plan(g.channels, g.n, kPack<T>, 1);
  const std::int64_t most = std::max<std::int64_t>(
                         16 * static_cast<std::int64_t>(multiprocessors(stream.device)) / plan.grid_x, 1),
                     wanted = (g.n + plan.y * rows_of_thread - 1) / (plan.y * rows_of_thread);
  launch_blocks(stream, kernel, dim3(plan.grid_x, static_cast<unsigned>(std::min(most, wanted))),
                dim3(plan.x, plan.y), arguments...);
}

}  // namespace

template <class T>
void channel_pack_statistics(const BatchNormGeometry& geometry, const void* x, const BatchMoments& moments,
                             Stream stream) {
  using C = Computed<T>;
  reduce_packs(
      PackMoments<T>{geometry.channels, static_cast<const T*>(x), static_cast<C*>(moments.mean),
                     static_cast<C*>(moments.variance), static_cast<C*>(moments.inv_std), moments.eps},
      geometry.channels, geometry.n, stream);
}

template <class T>
void normalize_in_packs(const BatchNormArgs& args, void* y, Stream stream) {
  launch_packs<T>(stream, normalize_channel_packs<T>, args.geometry, PackArgs<T>(args), static_cast<T*>(y));
}

template <class T>
void channel_pack_sums(const BatchNormArgs& args, const BatchNormGradients& gradients, Stream stream) {
  using C = Computed<T>;
  reduce_packs(PackSums<T>{PackArgs<T>(args), static_cast<const T*>(gradients.g),
                           static_cast<const T*>(gradients.y), static_cast<C*>(gradients.sum_g),
                           static_cast<C*>(gradients.sum_gx), static_cast<T*>(gradients.masked)},
               args.geometry.channels, args.geometry.n, stream);
}

template <class T>
void channel_pack_gradient(const BatchNormArgs& args, const BatchNormGradients& gradients, Stream stream) {
  using C = Computed<T>;
  launch_packs<T>(stream, channel_packs_gradient<T>, args.geometry, PackArgs<T>(args),
                  static_cast<const T*>(gradients.g), static_cast<const C*>(gradients.sum_g),
                  static_cast<const C*>(gradients.sum_gx), gradients.count,
                  static_cast<T*>(gradients.dx.data), gradients.dx.beta);
}

#define MP_OF_TYPE(T)                                                                                  \
  template void channel_pack_statistics<T>(const BatchNormGeometry&, const void*, const BatchMoments&, \
                                           Stream);                                                    \
  template void normalize_in_packs<T>(const BatchNormArgs&, void*, Stream);                            \
  template void channel_pack_sums<T>(const BatchNormArgs&, const BatchNormGradients&, Stream);         \
  template void channel_pack_gradient<T>(const BatchNormArgs&, const BatchNormGradients&, Stream);
MP_OF_TYPE(float)
MP_OF_TYPE(Half)
MP_OF_TYPE(BFloat16)

}  // namespace miniparallel::kernels::cuda
