#include "kernels/cuda/conv2d/tensor_tile.cuh"
#include "kernels/cuda/conv2d/weight_chunks.cuh"

// tensor_weight_gradient.cu's product where channels are innermost: a line of a is a position with packs of
// its filters, a line of b the position with packs of the channels that a tap reads for it.

namespace miniparallel::kernels::cuda {
namespace {

template <class T>
struct WeightPacksArgs : ChunkArgs<T> {
  Divider row_tiles, column_tiles;
};

template <class Tile>
struct WeightPacksLoad {
  using T = typename Tile::T;
  using Values = typename Tile::Values;
  const WeightPacksArgs<T>& args;
  const T *g, *x;  // at the thread's filters and channels, of the first position
  int thread;
  std::uint32_t group;
  bool has_rows, has_columns;  // which the thread's packs are of
  int down, across;            // to what its tap reads
  Position (&positions)[2 * Tile::kDepth];
  Values a[Tile::kLoadsA] = {}, b[Tile::kLoadsB] = {};
  float bias[kPack<T>] = {};

  __device__ void look_up(int part) {
    if (thread >= Tile::kDepth) return;
    const std::uint32_t index = args.begin() + static_cast<std::uint32_t>(part * Tile::kDepth + thread);
    positions[part % 2 * Tile::kDepth + thread] =
        index < args.end() ? position_at(args.gemm, index, group) : Position{0, -1, kNowhere, kNowhere};
  }
  __device__ void fetch(int part) {
    const ImplicitGemm& gemm = args.gemm;
    const Position* const at = positions + part % 2 * Tile::kDepth;
    MP_UNROLL
    for (int i = 0; i < Tile::kLoadsA; ++i) {
      const int line = Tile::line_of_a(thread, i);
      const bool reads = has_rows && line < Tile::kDepth && at[line].out >= 0;
      a[i] = reads ? pack_at<kPack<T>>(g, at[line].out) : Values{};
      MP_UNROLL
      for (int k = 0; k < kPack<T>; ++k) bias[k] += convert<float>(a[i].at[k]);
    }
    MP_UNROLL
    for (int i = 0; i < Tile::kLoadsB; ++i) {
      const Position& position = at[Tile::line_of_b(thread, i)];
      const bool inside =
          has_columns & (static_cast<unsigned>(position.row + down) < static_cast<unsigned>(gemm.rows.size)) &
          (static_cast<unsigned>(position.column + across) < static_cast<unsigned>(gemm.columns.size));
      b[i] = inside ? pack_at<kPack<T>>(x, position.source) : Values{};
    }
    look_up(part + 1);
  }
  __device__ void store(T* a_part, T* b_part) const {
    MP_UNROLL
    for (int i = 0; i < Tile::kLoadsA; ++i) {
      const int line = Tile::line_of_a(thread, i);
      if (line < Tile::kDepth)
        pack_at<kPack<T>>(a_part, line * Tile::kPitchA + thread % Tile::kPacksA * kPack<T>) =
            rounded<T>(a[i]);
    }
    MP_UNROLL
    for (int i = 0; i < Tile::kLoadsB; ++i)
      pack_at<kPack<T>>(b_part, Tile::line_of_b(thread, i) * Tile::kPitchB +
                                    thread % Tile::kPacksB * kPack<T>) = rounded<T>(b[i]);
  }
};

/// Adds what the threads have summed of each filter, in order.
template <class Tile>
__device__ void put_biases(const WeightPacksArgs<typename Tile::T>& args,
                           const float (&mine)[kPack<typename Tile::T>], std::int64_t filter, int rows,
                           int thread) {
  constexpr int N = kPack<typename Tile::T>;
  auto& sums = miniparallel::cuda::shared_array<float, Tile::kThreads * N, 1>();
  MP_UNROLL
  for (int k = 0; k < N; ++k) sums[thread * N + k] = mine[k];
  __syncthreads();
  if (thread >= Tile::kRows || thread >= rows) return;
  float sum = 0;
  for (int of = thread / N; of < Tile::kThreads; of += Tile::kPacksA) sum += sums[of * N + thread % N];
  args.put_bias(filter + thread, sum);
}

/// The load of a thread, at its filters and at the channels that its tap reads.
template <class Tile>
__device__ WeightPacksLoad<Tile> make_load(const WeightPacksArgs<typename Tile::T>& args, std::uint32_t group,
                                           std::uint32_t first_row, std::uint32_t first_column,
                                           Position (&positions)[2 * Tile::kDepth]) {
  constexpr int N = kPack<typename Tile::T>;
  const ImplicitGemm& gemm = args.gemm;
  const int thread = static_cast<int>(threadIdx.x);
  const std::uint32_t row = first_row + static_cast<std::uint32_t>(thread % Tile::kPacksA * N);
  const std::uint32_t column = first_column + static_cast<std::uint32_t>(thread % Tile::kPacksB * N);
  std::uint32_t i = column;
  const std::uint32_t channel = args.channels.divide(i);
  const int j = static_cast<int>(gemm.row_taps.divide(i));
  const int down = static_cast<int>(i) * gemm.rows.tap_step, across = j * gemm.columns.tap_step;
  return {args,
          args.g + row,
          args.x + down * gemm.source_width + across * gemm.source_pixel + channel,
          thread,
          group,
          row < gemm.filters,
          column < gemm.depth(),
          down,
          across,
          positions};
}

template <class Tile>
__device__ void weight_tensor_packs(const WeightPacksArgs<typename Tile::T>& args) {
  const ImplicitGemm& gemm = args.gemm;
  auto& positions = miniparallel::cuda::shared_array<Position, 2 * Tile::kDepth>();
  const int thread = static_cast<int>(threadIdx.x);
  std::uint32_t group = blockIdx.x;
  const std::uint32_t first_column = args.column_tiles.divide(group) * Tile::kColumns;
  const std::uint32_t first_row = args.row_tiles.divide(group) * Tile::kRows;
  const int rows = static_cast<int>(gemm.filters - first_row);
  WeightPacksLoad<Tile> load = make_load<Tile>(args, group, first_row, first_column, positions);
  load.look_up(0);
  __syncthreads();

  const std::int64_t filter = std::int64_t{group} * gemm.filters + first_row;
  const int parts = static_cast<int>((args.end() - args.begin() + Tile::kDepth - 1) / Tile::kDepth);
  multiply_on_tensor_cores<Tile>(parts, thread, load, [&](int i, const float* slab) {
    for (int element = thread % 32; element < 16 * Tile::kWarpColumns; element += 32) {
      const int line = element / Tile::kWarpColumns, along = element % Tile::kWarpColumns;
      const int row = Tile::first_row(thread) + 16 * i + line;
      const std::uint32_t column =
          first_column + static_cast<std::uint32_t>(Tile::first_column(thread) + along);
      if (row < rows && column < gemm.depth())
        args.put_weight((filter + row) * gemm.depth() + column, slab[line * Tile::kSlabPitch + along]);
    }
  });
  if (args.dbias != nullptr && first_column == 0) put_biases<Tile>(args, load.bias, filter, rows, thread);
}

/// Block x: tile of columns, innermost, tile of rows, group.
template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kResident)
    conv2d_weight_tensor_packs(WeightPacksArgs<typename Tile::T> args) {
  if constexpr (has_tensor_cores<typename Tile::T>) weight_tensor_packs<Tile>(args);
}

template <class Tile>
void launch_tiles(const WeightGradientArgs<typename Tile::T>& args, Stream stream) {
  using T = typename Tile::T;
  const ImplicitGemm& gemm = args.gemm;
  const std::uint32_t row_tiles = (gemm.filters + Tile::kRows - 1) / Tile::kRows;
  const std::uint32_t column_tiles = (gemm.depth() + Tile::kColumns - 1) / Tile::kColumns;
  const unsigned blocks = row_tiles * column_tiles * gemm.groups;
  in_chunks(
      args, blocks, stream,
      [&](const ChunkArgs<T>& chunk, unsigned chunks) {
        const WeightPacksArgs<T> all{chunk, Divider(row_tiles), Divider(column_tiles)};
        launch_blocks(stream, conv2d_weight_tensor_packs<Tile>, dim3(blocks, chunks), dim3(Tile::kThreads),
                      all);
      },
      true);
}

}  // namespace

template <class T>
void weight_gradient_by_packs(const WeightGradientArgs<T>& args, Stream stream) {
  const bool wide = args.gemm.filters > 32 && args.gemm.depth() > 64;
  (wide ? launch_tiles<DeepTile<T, 64, 128>> : launch_tiles<DeepTile<T, 32, 64>>)(args, stream);
}

template void weight_gradient_by_packs(const WeightGradientArgs<Half>&, Stream);
template void weight_gradient_by_packs(const WeightGradientArgs<BFloat16>&, Stream);
template void weight_gradient_by_packs(const WeightGradientArgs<float>&, Stream);

}  // namespace miniparallel::kernels::cuda
