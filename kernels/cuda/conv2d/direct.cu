#include "kernels/cuda/conv2d/direct.cuh"
#include "kernels/half.h"

// The direct sums where arrays are row-major.

namespace miniparallel::kernels::cuda {
namespace {

/// `known`: the taps of a row, of every gemm, or 0.
template <class T, int known>
__global__ void conv2d_direct(DirectArgs<T> args) {
  const ImplicitGemm& gemm = args.gemms[blockIdx.y];
  std::uint32_t image = blockIdx.x * blockDim.x + threadIdx.x;
  std::uint32_t i = args.plane_threads[blockIdx.y].divide(image);
  const std::uint32_t channel = args.packs.divide(image);
  if (image >= gemm.images) return;
  const DirectColumn<T> column(args, gemm, image, i, channel);
  const Position& position = column.position;
  Summed<T> sums[kDown] = {};
  for (std::uint32_t c = 0; c < gemm.channels; ++c)
    for (int r = 0; r < gemm.rows.taps; ++r) {
      const int row = r * gemm.rows.tap_step;
      const T* const source = args.source + position.source + c * gemm.source_plane + row * gemm.source_width;
      const T* const w = column.weight + c * gemm.weight_channel +
                         std::int64_t{r} * gemm.rows.weight_step * gemm.weight_width;
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
        const int across = t * gemm.columns.tap_step;
        const bool in_row =
            static_cast<unsigned>(position.column + across) < static_cast<unsigned>(gemm.columns.size);
        const auto factor = convert<Summed<T>>(w[t * gemm.columns.weight_step]);
        MP_UNROLL
        for (int k = 0; k < kDown; ++k)
          sums[k] += factor * ((inside[k] & in_row) ? convert<Summed<T>>(line[k][across]) : Summed<T>(0));
      }
    }
  const Summed<T> bias = args.bias == nullptr ? Summed<T>(0) : convert<Summed<T>>(args.bias[channel]);
  T* to = column.out;
  MP_UNROLL
  for (int k = 0; k < kDown; ++k, to += gemm.rows.out_step * gemm.out_width)
    if (column.first + k < gemm.rows.positions)
      *to = convert<T>(args.accumulate ? convert<Summed<T>>(*to) + (sums[k] + bias) : sums[k] + bias);
}

}  // namespace

template <class T>
void implicit_gemm_directly(const ImplicitGemmArgs<T>& whole, Stream stream) {
  launch_direct<1>(conv2d_direct<T, 3>, conv2d_direct<T, 0>, whole, stream);
}

template void implicit_gemm_directly(const ImplicitGemmArgs<Half>&, Stream);
template void implicit_gemm_directly(const ImplicitGemmArgs<BFloat16>&, Stream);
template void implicit_gemm_directly(const ImplicitGemmArgs<float>&, Stream);
template void implicit_gemm_directly(const ImplicitGemmArgs<double>&, Stream);

}  // namespace miniparallel::kernels::cuda
