#include "kernels/cuda/conv2d/conv2d.cuh"
#include "kernels/cuda/device/launch_on.cuh"

#include <algorithm>

// A thread sums some elements of a column of the result, which share their indices, weights and columns: for
// depthwise convolutions and others with few filters in a group.

namespace miniparallel::kernels::cuda {
namespace {

constexpr int kDown = 4;  // elements of a thread

template <class T>
struct DirectArgs : GatherArgs<T> {
  Divider filters, all_filters;
  Divider plane_threads[kMostGathers];

  static std::uint32_t threads(const Gather& gather) {
    return static_cast<std::uint32_t>((gather.rows.positions + kDown - 1) / kDown * gather.columns.positions);
  }
};

/// `known`: the taps of a row, of every gather, or 0.
template <class T, int known>
__global__ void conv2d_direct(DirectArgs<T> args) {
  const Gather& gather = args.gathers[blockIdx.y];
  std::uint32_t image = blockIdx.x * blockDim.x + threadIdx.x;
  std::uint32_t i = args.plane_threads[blockIdx.y].divide(image);
  std::uint32_t group = args.all_filters.divide(image);
  if (image >= gather.images) return;
  const std::uint32_t channel = group, filter = args.filters.divide(group);
  const int column_of_out = static_cast<int>(gather.row_positions.divide(i));
  const int first = static_cast<int>(i) * kDown;
  const Position position = position_of(gather, image, first, column_of_out, group);
  const T* const weight = args.weight + group * gather.weight_group + filter * gather.weight_filter +
                          gather.rows.weight_first * gather.weight_width + gather.columns.weight_first;
  T sums[kDown] = {};
  for (std::uint32_t c = 0; c < gather.channels; ++c)
    for (int r = 0; r < gather.rows.taps; ++r) {
      const int row = r * gather.rows.tap_step;
      const T* const source =
          args.source + position.source + c * gather.source_plane + row * gather.source_width;
      const T* const w = weight + c * gather.weight_channel +
                         std::int64_t{r} * gather.rows.weight_step * gather.weight_width;
      const T* line[kDown];
      bool inside[kDown];
      MP_UNROLL
      for (int k = 0; k < kDown; ++k) {
        line[k] = source + k * gather.rows.step * gather.source_width;
        inside[k] = static_cast<unsigned>(position.row + row + k * gather.rows.step) <
                    static_cast<unsigned>(gather.rows.size);
      }
      MP_UNROLL
      for (int t = 0; t < (known > 0 ? known : gather.columns.taps); ++t) {
        const int column = t * gather.columns.tap_step;
        const bool in_row =
            static_cast<unsigned>(position.column + column) < static_cast<unsigned>(gather.columns.size);
        const T factor = w[t * gather.columns.weight_step];
        MP_UNROLL
        for (int k = 0; k < kDown; ++k) sums[k] += factor * ((inside[k] & in_row) ? line[k][column] : T(0));
      }
    }
  const T bias = args.bias == nullptr ? T(0) : args.bias[channel];
  T* to = args.out + position.out + filter * gather.out_plane;
  MP_UNROLL
  for (int k = 0; k < kDown; ++k, to += gather.rows.out_step * gather.out_width)
    if (first + k < gather.rows.positions) *to = args.accumulate ? *to + (sums[k] + bias) : sums[k] + bias;
}

}  // namespace

template <class T>
void gather_directly(const GatherArgs<T>& whole, Stream stream) {
  const Gather& gather = whole.first();
  const std::uint32_t all_filters = gather.groups * gather.filters;
  const std::int64_t per_image = std::int64_t{DirectArgs<T>::threads(gather)} * all_filters;
  for_each_part(gather, per_image, [&](const Gather& part, std::int64_t first) {
    DirectArgs<T> args{whole.part(first, part.images), Divider(gather.filters), Divider(all_filters), {}};
    for (unsigned k = 0; k < args.count; ++k)
      args.plane_threads[k] = Divider(std::max(DirectArgs<T>::threads(args.gathers[k]), 1u));
    const bool three = std::all_of(args.gathers, args.gathers + args.count,
                                   [](const Gather& one) { return one.columns.taps == 3; });
    launch_blocks(stream, three ? conv2d_direct<T, 3> : conv2d_direct<T, 0>,
                  dim3(miniparallel::cuda::blocks(static_cast<std::size_t>(part.images * per_image), kBlock),
                       args.count),
                  dim3(kBlock), args);
  });
}

template void gather_directly(const GatherArgs<float>&, Stream);
template void gather_directly(const GatherArgs<double>&, Stream);

}  // namespace miniparallel::kernels::cuda
