#include "kernels/cuda/conv2d.cuh"
#include "kernels/cuda/launch_on.cuh"

// A thread sums one element of the result: for depthwise convolutions and others with few filters in a group.

namespace miniparallel::kernels::cuda {
namespace {

template <class T>
struct DirectArgs : GatherArgs<T> {
  Divider filters, all_filters;
};

template <class T>
__global__ void conv2d_direct(DirectArgs<T> args) {
  const Gather& gather = args.gathers[blockIdx.y];
  std::uint32_t image = blockIdx.x * blockDim.x + threadIdx.x;
  const std::uint32_t i = gather.plane_positions.divide(image);
  std::uint32_t group = args.all_filters.divide(image);
  if (image >= gather.images) return;
  const std::uint32_t channel = group, filter = args.filters.divide(group);
  const auto plane = static_cast<std::uint32_t>(gather.rows.positions * gather.columns.positions);
  const Position position = position_at(gather, image * plane + i, group);
  const T* const source = args.source + position.source;
  const T* weight = args.weight + group * gather.weight_group + filter * gather.weight_filter +
                    gather.rows.weight_first * gather.weight_width + gather.columns.weight_first;
  T sum = 0;
  for (std::uint32_t c = 0; c < gather.channels; ++c)
    for (int r = 0; r < gather.rows.taps; ++r) {
      const int row = r * gather.rows.tap_step;
      const T* const w = weight + c * gather.weight_channel +
                         std::int64_t{r} * gather.rows.weight_step * gather.weight_width;
      for (int k = 0; k < gather.columns.taps; ++k) {
        const int column = k * gather.columns.tap_step;
        const Tap tap{row, column, c * gather.source_plane + row * gather.source_width + column};
        sum += w[k * gather.columns.weight_step] * read(gather, source, position.row, position.column, tap);
      }
    }
  if (args.bias != nullptr) sum += args.bias[channel];
  T& to = args.out[position.out + filter * gather.out_plane];
  to = args.accumulate ? to + sum : sum;
}

}  // namespace

template <class T>
void gather_directly(const GatherArgs<T>& whole, Stream stream) {
  const Gather& gather = whole.first();
  const std::uint32_t all_filters = gather.groups * gather.filters;
  const std::int64_t per_image = gather.plane() * all_filters;
  for_each_part(gather, per_image, [&](const Gather& part, std::int64_t first) {
    const DirectArgs<T> args{whole.part(first, part.images), Divider(gather.filters), Divider(all_filters)};
    launch_blocks(stream, conv2d_direct<T>,
                  dim3(miniparallel::cuda::blocks(static_cast<std::size_t>(part.images * per_image), kBlock),
                       args.count),
                  dim3(kBlock), args);
  });
}

template void gather_directly(const GatherArgs<float>&, Stream);
template void gather_directly(const GatherArgs<double>&, Stream);

}  // namespace miniparallel::kernels::cuda
