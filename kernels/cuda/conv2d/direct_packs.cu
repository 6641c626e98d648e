#include "kernels/cuda/conv2d/direct.cuh"
#include "kernels/cuda/conv2d/weight_chunks.cuh"
#include "kernels/cuda/device/block_reduce.cuh"
#include "kernels/cuda/device/stored.cuh"
#include "kernels/cuda/device/two_stage.h"

// The direct sums where channels are innermost: neighbouring threads have neighbouring filters. Where each
// channel is a group a thread has a pack of them, which it loads at once.

namespace miniparallel::kernels::cuda {
namespace {

constexpr int kTaps = 3;  // of a thread, in the gradient of the weight

/// N filters, which belong to one group or are 1 each. `known`: the taps of a row, of every gemm, or 0.
template <class T, int N, int known>
__global__ void conv2d_filters(DirectArgs<T> args) {
  using S = Computed<T>;
  const ImplicitGemm& gemm = args.gemms[blockIdx.y];
  std::uint32_t image = blockIdx.x * blockDim.x + threadIdx.x;
  const std::uint32_t channel = args.packs.divide(image) * N;
  std::uint32_t i = args.plane_threads[blockIdx.y].divide(image);
  if (image >= gemm.images) return;
  const DirectColumn<T> column(args, gemm, image, i, channel);
  const Position& position = column.position;
  S sums[kDown][N] = {};
  for (std::uint32_t c = 0; c < gemm.channels; ++c)
    for (int r = 0; r < gemm.rows.taps; ++r) {
      const int row = r * gemm.rows.tap_step;
      const T* const source = args.source + position.source + c * gemm.source_plane + row * gemm.source_width;
      const T* const w = column.weight + c * gemm.weight_channel +
                         std::int64_t{r} * gemm.rows.weight_step * gemm.weight_width;
      MP_UNROLL
      for (int t = 0; t < (known > 0 ? known : gemm.columns.taps); ++t) {
        const int across = t * gemm.columns.tap_step;
        const bool in_row =
            static_cast<unsigned>(position.column + across) < static_cast<unsigned>(gemm.columns.size);
        const Pack<S, N> factors = read_pack<N>(w, t * gemm.columns.weight_step * gemm.weight_pixel);
        MP_UNROLL
        for (int k = 0; k < kDown; ++k) {
          const bool inside = static_cast<unsigned>(position.row + row + k * gemm.rows.step) <
                              static_cast<unsigned>(gemm.rows.size);
          Pack<S, N> values = {};
          if (inside & in_row)
            values =
                read_pack<N>(source, k * gemm.rows.step * gemm.source_width + across * gemm.source_pixel);
          MP_UNROLL
          for (int n = 0; n < N; ++n) sums[k][n] += factors.at[n] * values.at[n];
        }
      }
    }
  MP_UNROLL
  for (int n = 0; n < N; ++n) {
    const S bias = args.bias == nullptr ? S(0) : read(args.bias[channel + n]);
    MP_UNROLL
    for (int k = 0; k < kDown; ++k) sums[k][n] += bias;
  }
  T* to = column.out;
  MP_UNROLL
  for (int k = 0; k < kDown; ++k, to += gemm.rows.out_step * gemm.out_width) {
    if (column.first + k >= gemm.rows.positions) return;
    Pack<S, N> sum = {};
    if (args.accumulate) sum = read_pack<N>(to, 0);
    MP_UNROLL
    for (int n = 0; n < N; ++n) sum.at[n] = args.accumulate ? sum.at[n] + sums[k][n] : sums[k][n];
    write_pack<N>(to, 0, sum);
  }
}

template <class S>
struct Sum {
  using Accumulator = S;
  MP_INLINE static S combine(S a, S b) { return a + b; }
};

/// A thread multiplies N filters of a chunk's positions by what kTaps taps read for them. Block x: those
/// taps, innermost, and the filters.
template <class T, int N>
__global__ void __launch_bounds__(kBlock, 2)
    conv2d_weight_filters(ChunkArgs<T> args, std::uint32_t all_filters, Divider filters, Divider tap_parts) {
  using S = Computed<T>;
  const ImplicitGemm& gemm = args.gemm;
  std::uint32_t block = blockIdx.x;
  const std::uint32_t first_tap = tap_parts.divide(block) * kTaps;
  const std::uint32_t channel = (block * blockDim.x + threadIdx.x) * N;
  std::uint32_t group = channel;
  const T* const g = args.g + filters.divide(group) * gemm.out_plane;
  Tap taps[kTaps];
  MP_UNROLL
  for (int t = 0; t < kTaps; ++t) taps[t] = tap_at(gemm, first_tap + static_cast<std::uint32_t>(t));
  S sums[kTaps][N] = {}, bias[N] = {};
  if (channel < all_filters)
    for (std::uint32_t i = args.begin() + threadIdx.y; i < args.end(); i += blockDim.y) {
      const Position position = position_at(gemm, i, group);
      const Pack<S, N> gradient = read_pack<N>(g, position.out);
      MP_UNROLL
      for (int t = 0; t < kTaps; ++t) {
        const bool inside =
            (static_cast<unsigned>(position.row + taps[t].row) < static_cast<unsigned>(gemm.rows.size)) &
            (static_cast<unsigned>(position.column + taps[t].column) <
             static_cast<unsigned>(gemm.columns.size));
        Pack<S, N> values = {};
        if (inside) values = read_pack<N>(args.x, position.source + taps[t].offset);
        MP_UNROLL
        for (int n = 0; n < N; ++n) sums[t][n] += gradient.at[n] * values.at[n];
      }
      MP_UNROLL
      for (int n = 0; n < N; ++n) bias[n] += gradient.at[n];
    }
  const bool puts = threadIdx.y == 0 && channel < all_filters;
  MP_UNROLL
  for (int t = 0; t < kTaps; ++t) {
    const std::uint32_t tap = first_tap + static_cast<std::uint32_t>(t);
    combine_packs_over_y<Sum<S>, N>(sums[t]);
    MP_UNROLL
    for (int n = 0; n < N; ++n)
      if (puts && tap < gemm.depth())
        args.put_weight((std::int64_t{channel} + n) * gemm.depth() + tap, sums[t][n]);
  }
  if (args.dbias == nullptr || first_tap != 0) return;
  combine_packs_over_y<Sum<S>, N>(bias);
  MP_UNROLL
  for (int n = 0; n < N; ++n)
    if (puts) args.put_bias(std::int64_t{channel} + n, bias[n]);
}

// --- launchers

template <class T, int N>
void launch_filters(const ImplicitGemmArgs<T>& args, Stream stream) {
  launch_direct<N>(conv2d_filters<T, N, 3>, conv2d_filters<T, N, 0>, args, stream);
}

template <class T, int N>
void launch_weight_filters(const WeightGradientArgs<T>& args, Stream stream) {
  const std::uint32_t all_filters = args.gemm.groups * args.gemm.filters;
  const std::uint32_t tap_parts = std::max(1u, (args.gemm.depth() + kTaps - 1) / kTaps);  // for biases
  const TwoStagePlan plan = make_pack_plan(all_filters, args.gemm.positions(), N, sizeof(Computed<T>));
  const unsigned blocks = plan.grid_x * tap_parts;
  in_chunks(args, blocks, stream, [&](const ChunkArgs<T>& chunk, unsigned chunks) {
    launch_blocks(stream, conv2d_weight_filters<T, N>, dim3(blocks, chunks), dim3(plan.x, plan.y), chunk,
                  all_filters, Divider(args.gemm.filters), Divider(tap_parts));
  });
}

}  // namespace

template <class T>
void implicit_gemm_by_filters(const ImplicitGemmArgs<T>& args, Stream stream) {
  const ImplicitGemm& gemm = args.first();
  const bool packs = are_depthwise_packs(gemm, args.source, args.out) && gemm.weight_group == 1 &&
                     are_aligned(16, args.weight);
  (packs ? launch_filters<T, kPack<T>> : launch_filters<T, 1>)(args, stream);
}

template <class T>
void weight_gradient_by_filters(const WeightGradientArgs<T>& args, Stream stream) {
  const bool packs = are_depthwise_packs(args.gemm, args.x, args.g);
  (packs ? launch_weight_filters<T, kPack<T>> : launch_weight_filters<T, 1>)(args, stream);
}

#define MP_OF_TYPE(T)                                                         \
  template void implicit_gemm_by_filters(const ImplicitGemmArgs<T>&, Stream); \
  template void weight_gradient_by_filters(const WeightGradientArgs<T>&, Stream);
MP_OF_TYPE(float)
MP_OF_TYPE(Half)
MP_OF_TYPE(BFloat16)

}  // namespace miniparallel::kernels::cuda
