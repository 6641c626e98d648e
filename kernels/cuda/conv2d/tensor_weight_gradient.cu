#include "kernels/cuda/conv2d/tensor_tile.cuh"
#include "kernels/cuda/conv2d/weight_chunks.cuh"
#include "kernels/cuda/device/block_reduce.cuh"

// weight_gradient.cu's product on tensor cores: a row is a filter, a column a tap of a channel, the depth the
// positions, which the block looks up once in shared memory.

namespace miniparallel::kernels::cuda {
namespace {

template <class T>
struct WeightTensorArgs : ChunkArgs<T> {
  Divider row_tiles, column_tiles;
  bool packed_g, packed_x;  // positions are neighbours in memory, a pack of them aligned
};

template <class Tile>
struct WeightTensorLoad {
  using T = typename Tile::T;
  using Values = typename Tile::Values;
  const WeightTensorArgs<T>& args;
  const T* g;  // of the first row
  int rows, thread;
  std::uint32_t group;
  const Tap (&taps)[Tile::kColumns];
  Position (&positions)[2 * Tile::kDepth];
  Values a[Tile::kLoadsA] = {}, b[Tile::kLoadsB] = {};
  float bias = 0;  // the sum of the thread's packs of the first row of packs

  __device__ void look_up(int part) {
    if (thread >= Tile::kDepth) return;
    const std::uint32_t index = args.begin() + static_cast<std::uint32_t>(part * Tile::kDepth + thread);
    positions[part % 2 * Tile::kDepth + thread] =
        index < args.end() ? position_at(args.gemm, index, group) : Position{0, -1, kNowhere, kNowhere};
  }
  __device__ Values gradients_of(const T* row, const Position* at) const {
    if (args.packed_g) return at->out < 0 ? Values{} : pack_at<kPack<T>>(row, at->out);
    Values values;
    MP_UNROLL
    for (int k = 0; k < kPack<T>; ++k) values.at[k] = at[k].out < 0 ? T{} : row[at[k].out];
    return values;
  }
  __device__ Values inputs_of(const Tap& tap, const Position* at) const {
    if (args.packed_x)
      return at->out < 0 || tap.row == kNowhere ? Values{}
                                                : pack_at<kPack<T>>(args.x, at->source + tap.offset);
    Values values;
    MP_UNROLL
    for (int k = 0; k < kPack<T>; ++k)
      values.at[k] = read(args.gemm, args.x + at[k].source, at[k].row, at[k].column, tap);
    return values;
  }
  __device__ void fetch(int part) {
    const Position* const at = positions + part % 2 * Tile::kDepth + Tile::pack_of(thread) * kPack<T>;
    MP_UNROLL
    for (int i = 0; i < Tile::kLoadsA; ++i) {
      const int row = Tile::line_of(thread, i);
      a[i] = row < Tile::kRows && row < rows ? gradients_of(g + row * args.gemm.out_plane, at) : Values{};
    }
    MP_UNROLL
    for (int k = 0; k < kPack<T>; ++k) bias += convert<float>(a[0].at[k]);
    MP_UNROLL
    for (int i = 0; i < Tile::kLoadsB; ++i) b[i] = inputs_of(taps[Tile::line_of(thread, i)], at);
    look_up(part + 1);
  }
  __device__ void store(T* a_part, T* b_part) const {
    const int pack = Tile::pack_of(thread) * kPack<T>;
    MP_UNROLL
    for (int i = 0; i < Tile::kLoadsA; ++i)
      if (Tile::line_of(thread, i) < Tile::kRows)
        pack_at<kPack<T>>(a_part, Tile::line_of(thread, i) * Tile::kPitch + pack) = rounded<T>(a[i]);
    MP_UNROLL
    for (int i = 0; i < Tile::kLoadsB; ++i)
      pack_at<kPack<T>>(b_part, Tile::line_of(thread, i) * Tile::kPitch + pack) = rounded<T>(b[i]);
  }
};

template <class Tile>
__device__ void weight_tensor_tile(const WeightTensorArgs<typename Tile::T>& args) {
  static_assert(Tile::kLoadsA == 1, "a thread sums the bias of one row");
  const ImplicitGemm& gemm = args.gemm;
  auto& taps = miniparallel::cuda::shared_array<Tap, Tile::kColumns>();
  auto& positions = miniparallel::cuda::shared_array<Position, 2 * Tile::kDepth>();
  const int thread = static_cast<int>(threadIdx.x);
  std::uint32_t group = blockIdx.x;
  const std::uint32_t first_column = args.column_tiles.divide(group) * Tile::kColumns;
  const std::uint32_t first_row = args.row_tiles.divide(group) * Tile::kRows;
  if (thread < Tile::kColumns) taps[thread] = tap_at(gemm, first_column + static_cast<std::uint32_t>(thread));
  WeightTensorLoad<Tile> load{args,
                              args.g + first_row * gemm.out_plane,
                              static_cast<int>(gemm.filters - first_row),
                              thread,
                              group,
                              taps,
                              positions};
  load.look_up(0);
  __syncthreads();

  const std::int64_t filter = std::int64_t{group} * gemm.filters + first_row;
  const int parts = static_cast<int>((args.end() - args.begin() + Tile::kDepth - 1) / Tile::kDepth);
  multiply_on_tensor_cores<Tile>(parts, thread, load, [&](int i, const float* slab) {
    if (args.dweight == nullptr) return;
    for (int element = thread % 32; element < 16 * Tile::kWarpColumns; element += 32) {
      const int line = element / Tile::kWarpColumns, along = element % Tile::kWarpColumns;
      const int row = Tile::first_row(thread) + 16 * i + line;
      const std::uint32_t column =
          first_column + static_cast<std::uint32_t>(Tile::first_column(thread) + along);
      if (row < load.rows && column < gemm.depth())
        args.put_weight((filter + row) * gemm.depth() + column, slab[line * Tile::kSlabPitch + along]);
    }
  });

  if (args.dbias == nullptr || first_column != 0) return;
  float bias = load.bias;
  bias += __shfl_xor_sync(kWholeWarp, bias, 8);
  bias += __shfl_xor_sync(kWholeWarp, bias, 16);
  const int row = Tile::line_of(thread, 0);
  if (Tile::pack_of(thread) == 0 && row < Tile::kRows && row < load.rows) args.put_bias(filter + row, bias);
}

/// Block x: tile of columns, innermost, tile of rows, group.
template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kResident)
    conv2d_weight_tensor_tiles(WeightTensorArgs<typename Tile::T> args) {
  if constexpr (has_tensor_cores<typename Tile::T>) weight_tensor_tile<Tile>(args);
}

/// Whether tap 0 of position i reads element i of a plane.
bool is_pointwise(const ImplicitGemm& gemm) {
  const auto plain = [](const GemmAxis& axis) {
    return axis.taps == 1 && axis.step == 1 && axis.first == 0 && axis.positions == axis.size;
  };
  return plain(gemm.rows) && plain(gemm.columns);
}

template <class Tile>
void launch_tiles(const WeightGradientArgs<typename Tile::T>& args, Stream stream) {
  using T = typename Tile::T;
  const ImplicitGemm& gemm = args.gemm;
  const std::uint32_t row_tiles = (gemm.filters + Tile::kRows - 1) / Tile::kRows;
  const std::uint32_t column_tiles =
      std::max(1u, (gemm.depth() + Tile::kColumns - 1) / Tile::kColumns);  // the first one sums biases
  const bool whole_packs = gemm.plane() % kPack<T> == 0;
  const unsigned blocks = row_tiles * column_tiles * gemm.groups;
  in_chunks(args, blocks, stream, [&](const ChunkArgs<T>& chunk, unsigned chunks) {
    const WeightTensorArgs<T> all{
        chunk, Divider(row_tiles), Divider(column_tiles),
        whole_packs && gemm.out_pixel == 1 && are_aligned(16, args.g),
        whole_packs && gemm.source_pixel == 1 && is_pointwise(gemm) && are_aligned(16, args.x)};
    launch_blocks(stream, conv2d_weight_tensor_tiles<Tile>, dim3(blocks, chunks), dim3(Tile::kThreads), all);
  });
}

}  // namespace

template <class T>
void weight_gradient_on_tensor_cores(const WeightGradientArgs<T>& args, Stream stream) {
  const bool wide = args.gemm.filters > 32 && args.gemm.depth() > 64;
  (wide ? launch_tiles<TensorTile<T, 64, 128>> : launch_tiles<TensorTile<T, 32, 64>>)(args, stream);
}

template void weight_gradient_on_tensor_cores(const WeightGradientArgs<Half>&, Stream);
template void weight_gradient_on_tensor_cores(const WeightGradientArgs<BFloat16>&, Stream);
template void weight_gradient_on_tensor_cores(const WeightGradientArgs<float>&, Stream);

}  // namespace miniparallel::kernels::cuda
