#include "kernels/cuda/conv2d/gemm_launch.cuh"
#include "kernels/cuda/conv2d/tile.cuh"

// A row of the product is a filter, a column a position of the batch, the depth the taps of all channels. The
// matrix of what the taps read is never stored: a thread keeps a position, and adds to it the taps of a part,
// which the block looks up once in shared memory.

namespace miniparallel::kernels::cuda {
namespace {

template <class T>
struct TilesArgs : ImplicitGemmArgs<T> {
  Divider units, row_tiles;  // units: tiles of rows in all groups
  bool packed;               // positions are neighbours in memory, kVector of them aligned
};

template <class Tile>
struct ImplicitGemmLoad {
  using T = typename Tile::T;
  const ImplicitGemm& gemm;
  const T *source, *weight;  // at the thread's position, of the first row
  int rows, thread;
  int row, column;  // of the position
  Tap (&taps)[2 * Tile::kDepth];
  T a[Tile::kLoadsA] = {}, b[Tile::kLoadsB] = {};

  __device__ void look_up(int part) {
    if (thread < Tile::kDepth)
      taps[part % 2 * Tile::kDepth + thread] =
          tap_at(gemm, static_cast<std::uint32_t>(part * Tile::kDepth + thread));
  }
  __device__ void fetch(int part) {
    const auto k = static_cast<std::uint32_t>(part * Tile::kDepth + thread % Tile::kDepth);
    const std::int64_t at = weight_at(gemm, k);
    MP_UNROLL
    for (int i = 0; i < Tile::kLoadsA; ++i) {
      const int filter = thread / Tile::kDepth + i * (Tile::kThreads / Tile::kDepth);
      a[i] = k < gemm.depth() && filter < rows ? weight[filter * gemm.weight_filter + at] : T(0);
    }
    MP_UNROLL
    for (int i = 0; i < Tile::kLoadsB; ++i)
      b[i] = read(
          gemm, source, row, column,
          taps[part % 2 * Tile::kDepth + thread / Tile::kColumns + i * (Tile::kThreads / Tile::kColumns)]);
    look_up(part + 1);
  }
  __device__ void store(T* a_part, T* b_part) const {
    MP_UNROLL
    for (int i = 0; i < Tile::kLoadsA; ++i)
      a_part[thread % Tile::kDepth * Tile::kRowPitch + thread / Tile::kDepth +
             i * (Tile::kThreads / Tile::kDepth)] = a[i];
    MP_UNROLL
    for (int i = 0; i < Tile::kLoadsB; ++i)
      b_part[(thread / Tile::kColumns + i * (Tile::kThreads / Tile::kColumns)) * Tile::kColumnPitch +
             thread % Tile::kColumns] = b[i];
  }
};

/// The thread's sums of one row, to where `offsets` says.
template <class Tile>
__device__ void write_row(const TilesArgs<typename Tile::T>& args, typename Tile::T* row,
                          typename Tile::T bias, const std::int64_t* offsets, int thread,
                          const typename Tile::T* sums) {
  using T = typename Tile::T;
  MP_UNROLL
  for (int j = 0; j < Tile::kThreadColumns; j += Tile::kVector) {
    const int column = Tile::column_of(thread, j);
    typename Tile::Vector values;
    MP_UNROLL
    for (int v = 0; v < Tile::kVector; ++v) values.at[v] = sums[j + v] + bias;
    if (args.packed) {
      if (offsets[column] < 0) continue;
      auto& to = *reinterpret_cast<typename Tile::Vector*>(row + offsets[column]);
      if (args.accumulate) {
        const typename Tile::Vector old = to;
        MP_UNROLL
        for (int v = 0; v < Tile::kVector; ++v) values.at[v] += old.at[v];
      }
      to = values;
    } else {
      MP_UNROLL
      for (int v = 0; v < Tile::kVector; ++v) {
        if (offsets[column + v] < 0) continue;
        T& to = row[offsets[column + v]];
        to = args.accumulate ? to + values.at[v] : values.at[v];
      }
    }
  }
}

template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kResident)
    conv2d_tiles(TilesArgs<typename Tile::T> args) {
  using T = typename Tile::T;
  const ImplicitGemm& gemm = args.gemms[blockIdx.y];
  auto& taps = miniparallel::cuda::shared_array<Tap, 2 * Tile::kDepth>();
  auto& offsets = miniparallel::cuda::shared_array<std::int64_t, Tile::kColumns>();
  const int thread = static_cast<int>(threadIdx.x);
  std::uint32_t position_tile = blockIdx.x;
  std::uint32_t group = args.units.divide(position_tile);
  const int first_row = static_cast<int>(args.row_tiles.divide(group)) * Tile::kRows;
  const std::uint32_t filter = group * gemm.filters + static_cast<std::uint32_t>(first_row);

  const Position position = position_at(
      gemm, position_tile * Tile::kColumns + static_cast<std::uint32_t>(thread % Tile::kColumns), group);
  if (thread < Tile::kColumns) offsets[thread] = position.out;
  ImplicitGemmLoad<Tile> load{gemm,
                              args.source + position.source,
                              args.weight + group * gemm.weight_group + first_row * gemm.weight_filter,
                              static_cast<int>(gemm.filters) - first_row,
                              thread,
                              position.row,
                              position.column,
                              taps};
  load.look_up(0);
  __syncthreads();
  typename Tile::Sums sums{};
  const int parts = static_cast<int>((gemm.depth() + Tile::kDepth - 1) / Tile::kDepth);
  multiply_parts<Tile>(parts, thread, load, sums, [](const T*) {});

  MP_UNROLL
  for (int i = 0; i < Tile::kThreadRows; ++i) {
    const int row = Tile::row_of(thread, i);
    if (row >= load.rows) continue;
    const T bias = args.bias == nullptr ? T(0) : args.bias[filter + static_cast<std::uint32_t>(row)];
    write_row<Tile>(args, args.out + (first_row + row) * gemm.out_plane, bias, offsets, thread, sums.at[i]);
  }
}

// --- launchers

template <class Tile>
void launch_tiles(const ImplicitGemmArgs<typename Tile::T>& whole, Stream stream) {
  for_each_launch<Tile>(whole, [&](const ImplicitGemm& gemm, const auto& part, const Divider& units,
                                   const Divider& row_tiles, dim3 grid) {
    TilesArgs<typename Tile::T> args{part, units, row_tiles, false};
    args.packed = gemm.plane() == gemm.out_plane && gemm.out_plane % Tile::kVector == 0 &&
                  reinterpret_cast<std::uintptr_t>(args.out) % 16 == 0;
    launch_blocks(stream, conv2d_tiles<Tile>, grid, dim3(Tile::kThreads), args);
  });
}

}  // namespace

template <class T>
void implicit_gemm_by_tiles(const ImplicitGemmArgs<T>& args, Stream stream) {
  if constexpr (sizeof(T) == 4) {
    launch_fastest<Tile<T, 32, 128, 4, 8>, Tile<T, 64, 128, 8, 8>>(
        args, stream, [](auto tile) { return launch_tiles<typename decltype(tile)::type>; });
  } else {
    launch_tiles<Tile<T, 32, 64, 4, 4>>(args, stream);
  }
}

template void implicit_gemm_by_tiles(const ImplicitGemmArgs<float>&, Stream);
template void implicit_gemm_by_tiles(const ImplicitGemmArgs<double>&, Stream);

}  // namespace miniparallel::kernels::cuda
