#include "kernels/cuda/conv2d/conv2d.cuh"
#include "kernels/cuda/device/launch_on.cuh"
#include "kernels/half.h"

#include <algorithm>

// A thread sums some elements of a column of the result, which share their indices, weights and columns: for
// depthwise convolutions and others with few filters in a group.

namespace miniparallel::kernels::cuda {
namespace {

constexpr int kDown = 4;  // elements of a thread

template <class T>
struct DirectArgs : ImplicitGemmArgs<T> {
  Divider filters, all_filters;
  Divider plane_threads[kMaxGemms];

  static std::uint32_t threads(const ImplicitGemm& gemm) {
    return static_cast<std::uint32_t>((gemm.rows.positions + kDown - 1) / kDown * gemm.columns.positions);
  }
};

/// `known`: the taps of a row, of every gemm, or 0.
template <class T, int known>
__global__ void conv2d_direct(DirectArgs<T> args) {
  const ImplicitGemm& gemm = args.gemms[blockIdx.y];
  std::uint32_t image = blockIdx.x * blockDim.x + threadIdx.x;
  std::uint32_t i = args.plane_threads[blockIdx.y].divide(image);
  std::uint32_t group = args.all_filters.divide(image);
  if (image >= gemm.images) return;
  const std::uint32_t channel = group, filter = args.filters.divide(group);
  const int column_of_out = static_cast<int>(gemm.row_positions.divide(i));
  const int first = static_cast<int>(i) * kDown;
  const Position position = position_of(gemm, image, first, column_of_out, group);
  const T* const weight = args.weight + group * gemm.weight_group + filter * gemm.weight_filter +
                          gemm.rows.weight_first * gemm.weight_width + gemm.columns.weight_first;
  Summed<T> sums[kDown] = {};
  for (std::uint32_t c = 0; c < gemm.channels; ++c)
    for (int r = 0; r < gemm.rows.taps; ++r) {
      const int row = r * gemm.rows.tap_step;
      const T* const source = args.source + position.source + c * gemm.source_plane + row * gemm.source_width;
      const T* const w =
          weight + c * gemm.weight_channel + std::int64_t{r} * gemm.rows.weight_step * gemm.weight_width;
      const T* line[kDown];
      bool inside[kDown];
      MP_UNROLL
      for (int k = 0; k < kDown; ++k) {
        line[k] = source + k * gemm.rows.step * gemm.source_width;
        inside[k] = static_cast<unsigned>(position.row + row + k * gemm.rows.step) <
                    static_cast<unsigned>(gemm.rows.size);
      }
      MP_UNROLL
      for (int t = 0; t < (known > 0 ? known : gemm.columns.taps); ++t) {
        const int column = t * gemm.columns.tap_step;
        const bool in_row =
            static_cast<unsigned>(position.column + column) < static_cast<unsigned>(gemm.columns.size);
        const auto factor = convert<Summed<T>>(w[t * gemm.columns.weight_step]);
        MP_UNROLL
        for (int k = 0; k < kDown; ++k)
          sums[k] += factor * ((inside[k] & in_row) ? convert<Summed<T>>(line[k][column]) : Summed<T>(0));
      }
    }
  const Summed<T> bias = args.bias == nullptr ? Summed<T>(0) : convert<Summed<T>>(args.bias[channel]);
  T* to = args.out + position.out + filter * gemm.out_plane;
  MP_UNROLL
  for (int k = 0; k < kDown; ++k, to += gemm.rows.out_step * gemm.out_width)
    if (first + k < gemm.rows.positions)
      *to = convert<T>(args.accumulate ? convert<Summed<T>>(*to) + (sums[k] + bias) : sums[k] + bias);
}

}  // namespace

template <class T>
void implicit_gemm_directly(const ImplicitGemmArgs<T>& whole, Stream stream) {
  const ImplicitGemm& gemm = whole.first();
  const std::uint32_t all_filters = gemm.groups * gemm.filters;
  const std::int64_t per_image = std::int64_t{DirectArgs<T>::threads(gemm)} * all_filters;
  for_each_part(gemm, per_image, [&](const ImplicitGemm& part, std::int64_t first) {
    DirectArgs<T> args{whole.part(first, part.images), Divider(gemm.filters), Divider(all_filters), {}};
    for (unsigned k = 0; k < args.count; ++k)
      args.plane_threads[k] = Divider(std::max(DirectArgs<T>::threads(args.gemms[k]), 1u));
    const bool three = std::all_of(args.gemms, args.gemms + args.count,
                                   [](const ImplicitGemm& one) { return one.columns.taps == 3; });
    launch_blocks(stream, three ? conv2d_direct<T, 3> : conv2d_direct<T, 0>,
                  dim3(miniparallel::cuda::blocks(static_cast<std::size_t>(part.images * per_image), kBlock),
                       args.count),
                  dim3(kBlock), args);
  });
}

template void implicit_gemm_directly(const ImplicitGemmArgs<Half>&, Stream);
template void implicit_gemm_directly(const ImplicitGemmArgs<BFloat16>&, Stream);
template void implicit_gemm_directly(const ImplicitGemmArgs<float>&, Stream);
template void implicit_gemm_directly(const ImplicitGemmArgs<double>&, Stream);

}  // namespace miniparallel::kernels::cuda
