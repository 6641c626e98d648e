#include "kernels/cuda/conv2d/conv2d.cuh"
#include "kernels/cuda/conv2d/tile.cuh"
#include "kernels/cuda/device/block_reduce.cuh"
#include "kernels/cuda/device/workspace.h"

#include <algorithm>

// The gradient of the weight sums over all positions of the batch. Where its elements alone do not fill a
// GPU, the positions are cut into chunks: each chunk's sums go to the workspace, as weights and then biases,
// and a second kernel adds them in order. The cut depends on the sizes alone.

namespace miniparallel::kernels::cuda {
namespace {

template <class T>
struct ChunkArgs : WeightGradientArgs<T> {
  std::uint32_t positions, chunk;
  std::int64_t chunk_step;  // elements between the sums of two chunks

  /// The positions of blockIdx.y.
  __device__ std::uint32_t begin() const { return blockIdx.y * chunk; }
  __device__ std::uint32_t end() const { return begin() + chunk < positions ? begin() + chunk : positions; }
};

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

template <class T>
MP_INLINE void put_sum(T& to, T sum, bool accumulate) {
  to = accumulate ? to + sum : sum;
}

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

  const std::uint32_t filter = group * gemm.filters + first_row;
  if (sums_bias && thread < load.rows)
    put_sum(args.dbias[blockIdx.y * args.chunk_step + filter + static_cast<std::uint32_t>(thread)], bias,
            args.accumulate_bias);
  T* const dweight = args.dweight + blockIdx.y * args.chunk_step + filter * std::int64_t{gemm.depth()};
  MP_UNROLL
  for (int i = 0; i < Tile::kThreadRows; ++i) MP_UNROLL
  for (int j = 0; j < Tile::kThreadColumns; ++j) {
    const int row = Tile::row_of(thread, i);
    const std::uint32_t column = first_column + static_cast<std::uint32_t>(Tile::column_of(thread, j));
    if (row < load.rows && column < gemm.depth())
      put_sum(dweight[row * std::int64_t{gemm.depth()} + column], sums.at[i][j], args.accumulate);
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
  const ImplicitGemm& gemm = args.gemm;
  std::uint32_t element = first + blockIdx.x;
  const bool is_weight = element < weights;
  T& to = is_weight ? args.dweight[blockIdx.y * args.chunk_step + element]
                    : args.dbias[blockIdx.y * args.chunk_step + element - weights];
  const Tap tap = is_weight ? tap_at(gemm, depth.divide(element)) : Tap{0, 0, 0};
  std::uint32_t group = is_weight ? element : element - weights;
  const T* const g = args.g + filters.divide(group) * gemm.out_plane;
  T sum = 0;
  for (std::uint32_t i = args.begin() + threadIdx.y; i < args.end(); i += blockDim.y) {
    const Position position = position_at(gemm, i, group);
    sum += g[position.out] *
           (is_weight ? read(gemm, args.x + position.source, position.row, position.column, tap) : T(1));
  }
  sum = combine_over_y<Sum<T>>(sum);
  if (threadIdx.y == 0) put_sum(to, sum, is_weight ? args.accumulate : args.accumulate_bias);
}

// --- the second stage

/// Adds the chunks of each element.
template <class T>
__global__ void conv2d_weight_chunks(WeightGradientArgs<T> args, std::uint32_t chunks, std::int64_t weights,
                                     std::int64_t values, const T* partials) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  T sum = 0;
  if (i < values)
    for (std::uint32_t c = threadIdx.y; c < chunks; c += blockDim.y) sum += partials[c * values + i];
  sum = combine_over_y<Sum<T>>(sum);
  if (threadIdx.y != 0 || i >= values) return;
  if (i < weights)
    put_sum(args.dweight[i], sum, args.accumulate);
  else
    put_sum(args.dbias[i - weights], sum, args.accumulate_bias);
}

// --- launchers

constexpr std::int64_t kEnoughBlocks = 1024;
constexpr std::int64_t kLeastChunk = 256;  // positions
constexpr std::int64_t kMaxChunks = 1024;

/// Calls launch(args, chunks) for the positions of `args`, with the workspace between where there are several
/// chunks. `blocks`: of one chunk.
template <class T, class Launch>
void in_chunks(const WeightGradientArgs<T>& args, std::int64_t blocks, Stream stream, const Launch& launch) {
  const std::int64_t weights = args.dweight == nullptr ? 0 : args.weights();
  const std::int64_t values = weights + (args.dbias == nullptr ? 0 : args.biases());
  if (values == 0) return;
  ChunkArgs<T> first{args, static_cast<std::uint32_t>(args.gemm.positions()), 0, 0};
  const std::int64_t room = static_cast<std::int64_t>(kWorkspaceBytes / sizeof(T)) / values;
  const std::int64_t wanted =
      std::min({room, kEnoughBlocks / blocks, first.positions / kLeastChunk, kMaxChunks});
  const std::int64_t chunk = first.positions / std::max<std::int64_t>(wanted, 1) / 8 * 8 + 8;
  first.chunk = static_cast<std::uint32_t>(chunk);
  const auto chunks = static_cast<unsigned>(std::max<std::int64_t>((first.positions + chunk - 1) / chunk, 1));
  if (chunks == 1) return launch(first, 1u);
  T* const partials = static_cast<T*>(workspace(stream));
  first.chunk_step = values;
  first.accumulate = first.accumulate_bias = false;
  if (args.dweight != nullptr) first.dweight = partials;
  if (args.dbias != nullptr) first.dbias = partials + weights;
  launch(first, chunks);
  launch_blocks(stream, conv2d_weight_chunks<T>, dim3(miniparallel::cuda::blocks(values, 8)),
                dim3(8, kBlock / 8), args, chunks, weights, values, static_cast<const T*>(partials));
}

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

template void weight_gradient_by_tiles(const WeightGradientArgs<float>&, Stream);
template void weight_gradient_by_tiles(const WeightGradientArgs<double>&, Stream);
template void weight_gradient_directly(const WeightGradientArgs<float>&, Stream);
template void weight_gradient_directly(const WeightGradientArgs<double>&, Stream);

}  // namespace miniparallel::kernels::cuda
