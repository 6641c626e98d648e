#include "kernels/cuda/conv2d/tile.cuh"
#include "kernels/cuda/conv2d/weight_chunks.cuh"
#include "kernels/cuda/device/block_reduce.cuh"

namespace miniparallel::kernels::cuda {
namespace {

// --- as a product: a row is a filter, a column a tap of a channel, the depth the positions

template <class Tile>
struct WeightGradientLoad {
  using T = typename Tile::T;
  const ImplicitGemm& gemm;
  const T *g, *x;  // g of the first row
  int rows, thread;
  std::uint32_t group, begin, end;
  const Tap (&taps)[Tile::kColumns];
  T a[Tile::kLoadsA] = {}, b[Tile::kLoadsB] = {};

  __device__ void fetch(int part) {
    const std::uint32_t index =
        begin + static_cast<std::uint32_t>(part * Tile::kDepth + thread % Tile::kDepth);
    const Position position =
        index < end ? position_at(gemm, index, group) : Position{0, -1, kNowhere, kNowhere};
    MP_UNROLL
    for (int i = 0; i < Tile::kLoadsA; ++i) {
      const int row = thread / Tile::kDepth + i * (Tile::kThreads / Tile::kDepth);
      a[i] = position.out >= 0 && row < rows ? g[row * gemm.out_plane + position.out] : T(0);
    }
    MP_UNROLL
    for (int i = 0; i < Tile::kLoadsB; ++i)
      b[i] = read(gemm, x + position.source, position.row, position.column,
                  taps[thread / Tile::kDepth + i * (Tile::kThreads / Tile::kDepth)]);
  }
  __device__ void store(T* a_part, T* b_part) const {
    const int k = thread % Tile::kDepth, line = thread / Tile::kDepth;
    MP_UNROLL
    for (int i = 0; i < Tile::kLoadsA; ++i)
      a_part[k * Tile::kRowPitch + line + i * (Tile::kThreads / Tile::kDepth)] = a[i];
    MP_UNROLL
    for (int i = 0; i < Tile::kLoadsB; ++i)
      b_part[k * Tile::kColumnPitch + line + i * (Tile::kThreads / Tile::kDepth)] = b[i];
  }
};

/// Block x: tile of columns, innermost, tile of rows, group.
template <class Tile>
__global__ void conv2d_weight_tiles(ChunkArgs<typename Tile::T> args, Divider row_tiles,
                                    Divider column_tiles) {
  using T = typename Tile::T;
  const ImplicitGemm& gemm = args.gemm;
  auto& taps = miniparallel::cuda::shared_array<Tap, Tile::kColumns>();
  const int thread = static_cast<int>(threadIdx.x);
  std::uint32_t group = blockIdx.x;
  const std::uint32_t first_column = column_tiles.divide(group) * Tile::kColumns;
  const std::uint32_t first_row = row_tiles.divide(group) * Tile::kRows;
  for (int column = thread; column < Tile::kColumns; column += Tile::kThreads)
    taps[column] = tap_at(gemm, first_column + static_cast<std::uint32_t>(column));
  __syncthreads();

  WeightGradientLoad<Tile> load{gemm,         args.g + first_row * gemm.out_plane,
                                args.x,       static_cast<int>(gemm.filters - first_row),
                                thread,       group,
                                args.begin(), args.end(),
                                taps};
  typename Tile::Sums sums{};
  T bias = 0;
  const bool sums_bias = args.dbias != nullptr && first_column == 0 && thread < Tile::kRows;
  const int parts = static_cast<int>((args.end() - args.begin() + Tile::kDepth - 1) / Tile::kDepth);
  multiply_parts<Tile>(parts, thread, load, sums, [&](const T* a) {
    for (int k = 0; sums_bias && k < Tile::kDepth; ++k) bias += a[k * Tile::kRowPitch + thread];
  });

  const std::int64_t filter = std::int64_t{group} * gemm.filters + first_row;
  if (sums_bias && thread < load.rows) args.put_bias(filter + thread, bias);
  const bool one_chunk = args.partials == nullptr, accumulate = one_chunk && args.accumulate;
  T* const dweight =
      (one_chunk ? args.dweight : args.partials + blockIdx.y * args.values_of_chunk) + filter * gemm.depth();
  MP_UNROLL
  for (int i = 0; i < Tile::kThreadRows; ++i) MP_UNROLL
  for (int j = 0; j < Tile::kThreadColumns; ++j) {
    const int row = Tile::row_of(thread, i);
    const std::uint32_t column = first_column + static_cast<std::uint32_t>(Tile::column_of(thread, j));
    if (row < load.rows && column < gemm.depth())
      put_sum(dweight[row * std::int64_t{gemm.depth()} + column], sums.at[i][j], accumulate);
  }
}

// --- directly: a block sums one element

template <class T>
struct Sum {
  using Accumulator = T;
  MP_INLINE static T combine(T a, T b) { return a + b; }
};

/// Block x: element `first` + x of the weights and then the biases.
template <class T>
__global__ void conv2d_weight_direct(ChunkArgs<T> args, std::uint32_t first, std::uint32_t weights,
                                     Divider depth, Divider filters) {
  using S = Summed<T>;
  const ImplicitGemm& gemm = args.gemm;
  const std::uint32_t at = first + blockIdx.x;
  std::uint32_t element = at;
  const bool is_weight = element < weights;
  const Tap tap = is_weight ? tap_at(gemm, depth.divide(element)) : Tap{0, 0, 0};
  std::uint32_t group = is_weight ? element : element - weights;
  const T* const g = args.g + filters.divide(group) * gemm.out_plane;
  S sum = 0;
  for (std::uint32_t i = args.begin() + threadIdx.y; i < args.end(); i += blockDim.y) {
    const Position position = position_at(gemm, i, group);
    const S gradient = convert<S>(g[position.out]);
    sum +=
        is_weight
            ? gradient * convert<S>(read(gemm, args.x + position.source, position.row, position.column, tap))
            : gradient;
  }
  sum = combine_over_y<Sum<S>>(sum);
  if (threadIdx.y != 0) return;
  if (is_weight)
    args.put_weight(at, sum);
  else
    args.put_bias(at - weights, sum);
}

// --- the second stage

/// Adds the chunks of each element.
template <class T>
__global__ void conv2d_weight_chunks(ChunkArgs<T> args, std::uint32_t chunks) {
  using S = Summed<T>;
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  S sum = 0;
  if (i < args.values_of_chunk)
    for (std::uint32_t c = threadIdx.y; c < chunks; c += blockDim.y)
      sum += args.partials[c * args.values_of_chunk + i];
  sum = combine_over_y<Sum<S>>(sum);
  if (threadIdx.y != 0 || i >= args.values_of_chunk) return;
  if (i < args.weights_of_chunk)
    put_sum(args.dweight[args.weight_of(i)], sum, args.accumulate);
  else
    put_sum(args.dbias[i - args.weights_of_chunk], sum, args.accumulate_bias);
}

// --- launchers

template <class Tile>
void launch_tiles(const WeightGradientArgs<typename Tile::T>& args, Stream stream) {
  const std::uint32_t row_tiles = (args.gemm.filters + Tile::kRows - 1) / Tile::kRows;
  const std::uint32_t column_tiles =
      std::max(1u, (args.gemm.depth() + Tile::kColumns - 1) / Tile::kColumns);  // the first one sums biases
  const unsigned blocks = row_tiles * column_tiles * args.gemm.groups;
  in_chunks(args, blocks, stream, [&](const ChunkArgs<typename Tile::T>& chunk, unsigned chunks) {
    launch_blocks(stream, conv2d_weight_tiles<Tile>, dim3(blocks, chunks), dim3(Tile::kThreads), chunk,
                  Divider(row_tiles), Divider(column_tiles));
  });
}

}  // namespace

template <class T>
void add_chunks(const ChunkArgs<T>& args, unsigned chunks, Stream stream) {
  launch_blocks(stream, conv2d_weight_chunks<T>, dim3(miniparallel::cuda::blocks(args.values_of_chunk, 8)),
                dim3(8, kBlock / 8), args, chunks);
}

template <class T>
void weight_gradient_by_tiles(const WeightGradientArgs<T>& args, Stream stream) {
  using Narrow = Tile<T, 32, 32, 4, 4>;
  if constexpr (sizeof(T) == 4) {
    using Wide = Tile<T, 64, 128, 8, 8>;
    const bool wide = args.gemm.filters > Wide::kRows / 2 && args.gemm.depth() > Wide::kColumns / 2;
    if (wide) return launch_tiles<Wide>(args, stream);
  }
  launch_tiles<Narrow>(args, stream);
}

template <class T>
void weight_gradient_directly(const WeightGradientArgs<T>& args, Stream stream) {
  const auto weights = static_cast<std::uint32_t>(args.weights());
  const std::uint32_t first = args.dweight == nullptr ? weights : 0;
  const std::uint32_t end =
      weights + (args.dbias == nullptr ? 0u : static_cast<std::uint32_t>(args.biases()));
  in_chunks(args, end - first, stream, [&](const ChunkArgs<T>& chunk, unsigned chunks) {
    launch_blocks(stream, conv2d_weight_direct<T>, dim3(end - first, chunks), dim3(1, kBlock), chunk, first,
                  weights, Divider(std::max(args.gemm.depth(), 1u)), Divider(args.gemm.filters));
  });
}

template void add_chunks(const ChunkArgs<Half>&, unsigned, Stream);
template void add_chunks(const ChunkArgs<BFloat16>&, unsigned, Stream);
template void add_chunks(const ChunkArgs<float>&, unsigned, Stream);
template void weight_gradient_by_tiles(const WeightGradientArgs<float>&, Stream);
template void weight_gradient_by_tiles(const WeightGradientArgs<double>&, Stream);
template void weight_gradient_directly(const WeightGradientArgs<Half>&, Stream);
template void weight_gradient_directly(const WeightGradientArgs<BFloat16>&, Stream);
template void weight_gradient_directly(const WeightGradientArgs<float>&, Stream);
template void weight_gradient_directly(const WeightGradientArgs<double>&, Stream);

}  // namespace miniparallel::kernels::cuda
