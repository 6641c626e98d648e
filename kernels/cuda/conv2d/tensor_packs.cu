#include "kernels/cuda/conv2d/gemm_launch.cuh"
#include "kernels/cuda/conv2d/tensor_output.cuh"

// tensor_implicit_gemm.cu's product where channels are innermost. The depth runs over taps, and for each over
// the channels, of which a thread reads a pack at once: a line of a is a filter, a line of b a position.

namespace miniparallel::kernels::cuda {
namespace {

template <class T>
struct TensorPacksArgs : ImplicitGemmArgs<T> {
  Divider units, row_tiles, channels;  // units: tiles of rows in all groups
  OutPacks packs;
};

template <class Tile>
struct TensorPacksLoad {
  using T = typename Tile::T;
  using Values = typename Tile::Values;
  const TensorPacksArgs<T>& args;
  const ImplicitGemm& gemm;
  const T* weight;  // of the first row
  int rows, thread;
  const T* source[Tile::kLoadsB];  // at the positions of the thread's lines
  int row[Tile::kLoadsB], column[Tile::kLoadsB];
  Values a[Tile::kLoadsA] = {}, b[Tile::kLoadsB] = {};

  __device__ void fetch(int part) {
    const auto k = static_cast<std::uint32_t>(part * Tile::kDepth + Tile::pack_of(thread) * kPack<T>);
    std::uint32_t i = k;
    const std::uint32_t channel = args.channels.divide(i);
    const auto j = static_cast<int>(gemm.row_taps.divide(i));
    const bool is_tap = k < gemm.depth();
    const int down = static_cast<int>(i) * gemm.rows.tap_step, across = j * gemm.columns.tap_step;
    const std::int64_t in_filter =
        (gemm.rows.weight_first + static_cast<int>(i) * gemm.rows.weight_step) * gemm.weight_width +
        (gemm.columns.weight_first + j * gemm.columns.weight_step) * gemm.weight_pixel + channel;
    const std::int64_t in_source = down * gemm.source_width + across * gemm.source_pixel + channel;
    MP_UNROLL
    for (int load = 0; load < Tile::kLoadsA; ++load) {
      const int filter = Tile::line_of(thread, load);
      a[load] = is_tap && filter < Tile::kRows && filter < rows
                    ? pack_at<kPack<T>>(weight, filter * gemm.weight_filter + in_filter)
                    : Values{};
    }
    MP_UNROLL
    for (int load = 0; load < Tile::kLoadsB; ++load) {
      const bool inside =
          is_tap & (static_cast<unsigned>(row[load] + down) < static_cast<unsigned>(gemm.rows.size)) &
          (static_cast<unsigned>(column[load] + across) < static_cast<unsigned>(gemm.columns.size));
      b[load] = inside ? pack_at<kPack<T>>(source[load], in_source) : Values{};
    }
  }
  __device__ void store(T* a_part, T* b_part) const {
    const int pack = Tile::pack_of(thread) * kPack<T>;
    MP_UNROLL
    for (int load = 0; load < Tile::kLoadsA; ++load)
      if (Tile::line_of(thread, load) < Tile::kRows)
        pack_at<kPack<T>>(a_part, Tile::line_of(thread, load) * Tile::kPitch + pack) = rounded<T>(a[load]);
    MP_UNROLL
    for (int load = 0; load < Tile::kLoadsB; ++load)
      pack_at<kPack<T>>(b_part, Tile::line_of(thread, load) * Tile::kPitch + pack) = rounded<T>(b[load]);
  }
};

template <class Tile>
__device__ void tensor_packs(const TensorPacksArgs<typename Tile::T>& args) {
  const ImplicitGemm& gemm = args.gemms[blockIdx.y];
  auto& offsets = miniparallel::cuda::shared_array<std::int64_t, Tile::kColumns>();
  const int thread = static_cast<int>(threadIdx.x);
  std::uint32_t position_tile = blockIdx.x;
  std::uint32_t group = args.units.divide(position_tile);
  const int first_row = static_cast<int>(args.row_tiles.divide(group)) * Tile::kRows;
  const std::uint32_t filter = group * gemm.filters + static_cast<std::uint32_t>(first_row);

  TensorPacksLoad<Tile> load{args,
                             gemm,
                             args.weight + group * gemm.weight_group + first_row * gemm.weight_filter,
                             static_cast<int>(gemm.filters) - first_row,
                             thread,
                             {},
                             {},
                             {}};
  MP_UNROLL
  for (int i = 0; i < Tile::kLoadsB; ++i) {
    const int line = Tile::line_of(thread, i);
    const Position position =
        position_at(gemm, position_tile * Tile::kColumns + static_cast<std::uint32_t>(line), group);
    load.source[i] = args.source + position.source;
    load.row[i] = position.row, load.column[i] = position.column;
    if (Tile::pack_of(thread) == 0) offsets[line] = position.out;
  }
  const int parts = static_cast<int>((gemm.depth() + Tile::kDepth - 1) / Tile::kDepth);
  multiply_on_tensor_cores<Tile>(parts, thread, load, [&](int i, const float* slab) {
    const int row = Tile::first_row(thread) + 16 * i;
    write_slab<Tile>(args, args.packs, slab, load.rows - row, args.out + (first_row + row) * gemm.out_plane,
                     args.bias == nullptr ? nullptr : args.bias + filter + row,
                     offsets + Tile::first_column(thread), thread % 32);
  });
}

template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kResident)
    conv2d_tensor_packs(TensorPacksArgs<typename Tile::T> args) {
  if constexpr (has_tensor_cores<typename Tile::T>) tensor_packs<Tile>(args);
}

// --- launchers

template <class Tile>
void launch_tiles(const ImplicitGemmArgs<typename Tile::T>& whole, Stream stream) {
  for_each_launch<Tile>(whole, [&](const ImplicitGemm& gemm, const auto& part, const Divider& units,
                                   const Divider& row_tiles, dim3 grid) {
    TensorPacksArgs<typename Tile::T> args{part, units, row_tiles, Divider(gemm.channels), OutPacks::none};
    args.packs = out_packs(gemm, args.out);
    launch_blocks(stream, conv2d_tensor_packs<Tile>, grid, dim3(Tile::kThreads), args);
  });
}

}  // namespace

template <class T>
void implicit_gemm_by_packs(const ImplicitGemmArgs<T>& args, Stream stream) {
  launch_fastest<TensorTile<T, 32, 128>, TensorTile<T, 64, 128>, TensorTile<T, 128, 128>>(
      args, stream, [](auto tile) { return launch_tiles<typename decltype(tile)::type>; });
}

template void implicit_gemm_by_packs(const ImplicitGemmArgs<Half>&, Stream);
template void implicit_gemm_by_packs(const ImplicitGemmArgs<BFloat16>&, Stream);
template void implicit_gemm_by_packs(const ImplicitGemmArgs<float>&, Stream);

}  // namespace miniparallel::kernels::cuda
