#include "kernels/cuda/conv2d/gemm_launch.cuh"
#include "kernels/cuda/conv2d/tensor_output.cuh"

// implicit_gemm.cu's product on tensor cores. A thread reads what a pack of taps reads for its position, so
// that neighbouring threads read neighbouring positions, and writes it to shared memory at once.

namespace miniparallel::kernels::cuda {
namespace {

template <class T>
struct TensorTilesArgs : ImplicitGemmArgs<T> {
  Divider units, row_tiles;  // units: tiles of rows in all groups
  bool packed_weights;       // the taps of a filter are neighbours in memory, a pack of them aligned
  OutPacks packs;
};

template <class Tile>
struct TensorTilesLoad {
  using T = typename Tile::T;
  using Values = typename Tile::Values;
  const TensorTilesArgs<T>& args;
  const ImplicitGemm& gemm;
  const T *source, *weight;  // at the thread's position, of the first row
  int rows, thread;
  int row, column;  // of the position
  Tap (&taps)[2 * Tile::kDepth];
  std::int64_t (&weights)[2 * Tile::kDepth];  // where the taps are in a filter, or -1
  Values a[Tile::kLoadsA] = {}, b[Tile::kLoadsB] = {};

  __device__ void look_up(int part) {
    if (thread >= Tile::kDepth) return;
    const auto k = static_cast<std::uint32_t>(part * Tile::kDepth + thread);
    taps[part % 2 * Tile::kDepth + thread] = tap_at(gemm, k);
    weights[part % 2 * Tile::kDepth + thread] = k < gemm.depth() ? weight_at(gemm, k) : -1;
  }
  __device__ Values weights_of(const T* filter, int first) const {
    if (args.packed_weights) return weights[first] < 0 ? Values{} : pack_at<kPack<T>>(filter, weights[first]);
    Values values;
    MP_UNROLL
    for (int k = 0; k < kPack<T>; ++k)
      values.at[k] = weights[first + k] < 0 ? T{} : filter[weights[first + k]];
    return values;
  }
  __device__ void fetch(int part) {
    const int table = part % 2 * Tile::kDepth;
    MP_UNROLL
    for (int i = 0; i < Tile::kLoadsA; ++i) {
      const int filter = Tile::line_of(thread, i);
      a[i] = filter < Tile::kRows && filter < rows
                 ? weights_of(weight + filter * gemm.weight_filter, table + Tile::pack_of(thread) * kPack<T>)
                 : Values{};
    }
    MP_UNROLL
    for (int i = 0; i < Tile::kLoadsB; ++i) MP_UNROLL
    for (int k = 0; k < kPack<T>; ++k)
      b[i].at[k] = read(gemm, source, row, column, taps[table + pack_of_position(i) * kPack<T> + k]);
    look_up(part + 1);
  }
  __device__ int pack_of_position(int i) const {
    return thread / Tile::kColumns + i * (Tile::kThreads / Tile::kColumns);
  }
  __device__ void store(T* a_part, T* b_part) const {
    MP_UNROLL
    for (int i = 0; i < Tile::kLoadsA; ++i)
      if (Tile::line_of(thread, i) < Tile::kRows)
        pack_at<kPack<T>>(a_part, Tile::line_of(thread, i) * Tile::kPitch +
                                      Tile::pack_of(thread) * kPack<T>) = rounded<T>(a[i]);
    MP_UNROLL
    for (int i = 0; i < Tile::kLoadsB; ++i)
      pack_at<kPack<T>>(b_part, thread % Tile::kColumns * Tile::kPitch + pack_of_position(i) * kPack<T>) =
          rounded<T>(b[i]);
  }
};

template <class Tile>
__device__ void tensor_tile(const TensorTilesArgs<typename Tile::T>& args) {
  const ImplicitGemm& gemm = args.gemms[blockIdx.y];
  auto& taps = miniparallel::cuda::shared_array<Tap, 2 * Tile::kDepth>();
  auto& weights = miniparallel::cuda::shared_array<std::int64_t, 2 * Tile::kDepth, 1>();
  auto& offsets = miniparallel::cuda::shared_array<std::int64_t, Tile::kColumns, 2>();
  const int thread = static_cast<int>(threadIdx.x);
  std::uint32_t position_tile = blockIdx.x;
  std::uint32_t group = args.units.divide(position_tile);
  const int first_row = static_cast<int>(args.row_tiles.divide(group)) * Tile::kRows;
  const std::uint32_t filter = group * gemm.filters + static_cast<std::uint32_t>(first_row);

  const Position position = position_at(
      gemm, position_tile * Tile::kColumns + static_cast<std::uint32_t>(thread % Tile::kColumns), group);
  if (thread < Tile::kColumns) offsets[thread] = position.out;
  TensorTilesLoad<Tile> load{args,
                             gemm,
                             args.source + position.source,
                             args.weight + group * gemm.weight_group + first_row * gemm.weight_filter,
                             static_cast<int>(gemm.filters) - first_row,
                             thread,
                             position.row,
                             position.column,
                             taps,
                             weights};
  load.look_up(0);
  __syncthreads();
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
    conv2d_tensor_tiles(TensorTilesArgs<typename Tile::T> args) {
  if constexpr (has_tensor_cores<typename Tile::T>) tensor_tile<Tile>(args);
}

// --- launchers

template <class T>
bool has_packed_weights(const ImplicitGemmArgs<T>& args) {
  const ImplicitGemm& gemm = args.first();
  const std::int64_t taps = std::int64_t{gemm.rows.taps} * gemm.columns.taps;
  return args.count == 1 && gemm.rows.weight_step == 1 && gemm.columns.weight_step == 1 &&
         gemm.rows.weight_first == 0 && gemm.columns.weight_first == 0 && gemm.weight_pixel == 1 &&
         gemm.weight_width == gemm.columns.taps && gemm.weight_channel == taps &&
         gemm.weight_filter == gemm.channels * taps && gemm.weight_filter % kPack<T> == 0 &&
         are_aligned(16, args.weight);
}

template <class Tile>
void launch_tiles(const ImplicitGemmArgs<typename Tile::T>& whole, Stream stream) {
  for_each_launch<Tile>(whole, [&](const ImplicitGemm& gemm, const auto& part, const Divider& units,
                                   const Divider& row_tiles, dim3 grid) {
    TensorTilesArgs<typename Tile::T> args{part, units, row_tiles, has_packed_weights(whole), OutPacks::none};
    args.packs = out_packs(gemm, args.out);
    launch_blocks(stream, conv2d_tensor_tiles<Tile>, grid, dim3(Tile::kThreads), args);
  });
}

}  // namespace

template <class T>
void implicit_gemm_on_tensor_cores(const ImplicitGemmArgs<T>& args, Stream stream) {
  launch_fastest<TensorTile<T, 32, 128>, TensorTile<T, 64, 128>, TensorTile<T, 128, 128>>(
      args, stream, [](auto tile) { return launch_tiles<typename decltype(tile)::type>; });
}

template void implicit_gemm_on_tensor_cores(const ImplicitGemmArgs<Half>&, Stream);
template void implicit_gemm_on_tensor_cores(const ImplicitGemmArgs<BFloat16>&, Stream);
template void implicit_gemm_on_tensor_cores(const ImplicitGemmArgs<float>&, Stream);

}  // namespace miniparallel::kernels::cuda
