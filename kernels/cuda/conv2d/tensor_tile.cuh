#pragma once

#include "kernels/cuda/conv2d/gemm_geometry.cuh"
#include "kernels/cuda/device/launch_on.cuh"
#include "kernels/cuda/device/pack.cuh"
#include "kernels/cuda/device/tensor_cores.cuh"
#include "kernels/half.h"

namespace miniparallel::kernels::cuda {

/// The part of a product c = a b that a block makes on tensor cores: kRows x kColumns sums in float32,
/// kDepth products at a time, by eight warps. The parts of a and b are in shared memory as lines, the depth
/// innermost: rows of a, columns of b. A line is four packs of 16 bytes, and a fifth that is not used: so
/// eight lines are at different banks, for a thread that writes a pack as for the loads of fragments.
template <class Number, int rows, int columns>
struct TensorTile {
  using T = Number;
  using Values = Pack<T, kPack<T>>;
  static constexpr int kRows = rows, kColumns = columns;
  static constexpr int kPacks = 4, kDepth = kPacks * kPack<T>, kPitch = kDepth + kPack<T>;
  static constexpr int kThreads = 256, kWarpsX = 4, kWarpsY = 2;
  static constexpr int kResident = rows > 64 ? 1 : 2;  // blocks for whose registers a multiprocessor has room
  static constexpr int kFragmentRows = rows / (16 * kWarpsY), kFragmentColumns = columns / (16 * kWarpsX);
  static constexpr int kWarpColumns = 16 * kFragmentColumns;
  static constexpr int kLoadsA = (rows * kPacks + kThreads - 1) / kThreads;
  static constexpr int kLoadsB = columns * kPacks / kThreads;
  static_assert(kFragmentRows * 16 * kWarpsY == rows && kFragmentColumns * 16 * kWarpsX == columns);

  /// Two of each: while one is multiplied, the next is written.
  struct Parts {
    alignas(32) T a[2][rows * kPitch];
    alignas(32) T b[2][columns * kPitch];
  };
  template <class Of>
  using A = typename Of::A;
  template <class Of>
  using B = typename Of::B;
  static constexpr int kPitchA = kPitch, kPitchB = kPitch;
  /// Where the matrix of 16 rows, or columns, from a depth on begins.
  MP_INLINE static int a_at(int row, int depth) { return row * kPitch + depth; }
  MP_INLINE static int b_at(int column, int depth) { return column * kPitch + depth; }

  /// Of a thread: which packs of lines it moves, by `pass`. Eight threads of a warp write eight lines.
  MP_INLINE static int line_of(int thread, int pass) { return thread / 32 * 8 + thread % 8 + pass * 64; }
  MP_INLINE static int pack_of(int thread) { return thread / 8 % kPacks; }

  MP_INLINE static int first_row(int thread) { return thread / (32 * kWarpsX) * 16 * kFragmentRows; }
  MP_INLINE static int first_column(int thread) { return thread / 32 % kWarpsX * kWarpColumns; }

  /// A row of fragments of a warp, on its way out, in the memory of the parts: what a lane holds of a
  /// fragment is not told.
  static constexpr int kSlabPitch = kWarpColumns + 4;
  static_assert(sizeof(Parts) >= 8 * 16 * kSlabPitch * sizeof(float));
};

/// The same with the parts of a and b as they are where rows and columns are innermost: a line for each
/// product, of rows or columns and a pack that is not used.
template <class Number, int rows, int columns>
struct DeepTile : TensorTile<Number, rows, columns> {
  using Base = TensorTile<Number, rows, columns>;
  using typename Base::T;
  template <class Of>
  using A = typename Of::AByColumns;
  template <class Of>
  using B = typename Of::BByRows;
  static constexpr int kPitchA = rows + kPack<T>, kPitchB = columns + kPack<T>;
  MP_INLINE static int a_at(int row, int depth) { return depth * kPitchA + row; }
  MP_INLINE static int b_at(int column, int depth) { return depth * kPitchB + column; }

  struct Parts {
    alignas(32) T a[2][Base::kDepth * kPitchA];
    alignas(32) T b[2][Base::kDepth * kPitchB];
  };
  static_assert(sizeof(Parts) >= 8 * 16 * Base::kSlabPitch * sizeof(float));

  /// Of a thread: which packs it moves, neighbours those of a line.
  static constexpr int kPacksA = rows / kPack<T>, kPacksB = columns / kPack<T>;
  MP_INLINE static int line_of_a(int thread, int pass) { return (thread + pass * Base::kThreads) / kPacksA; }
  MP_INLINE static int line_of_b(int thread, int pass) { return (thread + pass * Base::kThreads) / kPacksB; }
};

/// A block's sums over `count` parts, which are then in registers. `load.fetch(i)` reads part i into
/// registers, `load.store(a, b)` puts it into shared memory: the reads run while the part before is
/// multiplied. `use(i, slab)` gets each row of fragments of the warp in turn, 16 lines of kSlabPitch sums.
template <class Tile, class Load, class Use>
__device__ void multiply_on_tensor_cores(int count, int thread, Load& load, const Use& use) {
  namespace wmma = nvcuda::wmma;
  using Core = TensorCore<typename Tile::T>;
  using Of = Fragments<typename Tile::T>;
  auto& parts = miniparallel::cuda::shared_array<typename Tile::Parts, 1>()[0];
  typename Of::Sum sums[Tile::kFragmentRows][Tile::kFragmentColumns];
  MP_UNROLL
  for (int i = 0; i < Tile::kFragmentRows; ++i) MP_UNROLL
  for (int j = 0; j < Tile::kFragmentColumns; ++j) wmma::fill_fragment(sums[i][j], 0.0f);
  if (count > 0) {
    load.fetch(0);
    load.store(parts.a[0], parts.b[0]);
  }
  __syncthreads();
  for (int part = 0; part < count; ++part) {
    const int now = part % 2, next = 1 - now;
    if (part + 1 < count) load.fetch(part + 1);
    MP_UNROLL
    for (int k = 0; k < Tile::kDepth; k += Core::kDepth) {
      typename Tile::template A<Of> a[Tile::kFragmentRows];
      typename Tile::template B<Of> b[Tile::kFragmentColumns];
      MP_UNROLL
      for (int i = 0; i < Tile::kFragmentRows; ++i)
        wmma::load_matrix_sync(a[i],
                               Core::memory(parts.a[now] + Tile::a_at(Tile::first_row(thread) + 16 * i, k)),
                               Tile::kPitchA);
      MP_UNROLL
      for (int j = 0; j < Tile::kFragmentColumns; ++j)
        wmma::load_matrix_sync(
            b[j], Core::memory(parts.b[now] + Tile::b_at(Tile::first_column(thread) + 16 * j, k)),
            Tile::kPitchB);
      MP_UNROLL
      for (int i = 0; i < Tile::kFragmentRows; ++i) MP_UNROLL
      for (int j = 0; j < Tile::kFragmentColumns; ++j) wmma::mma_sync(sums[i][j], a[i], b[j], sums[i][j]);
    }
    if (part + 1 < count) load.store(parts.a[next], parts.b[next]);
    __syncthreads();
  }

  float* const slab = reinterpret_cast<float*>(&parts) + thread / 32 * (16 * Tile::kSlabPitch);
  MP_UNROLL
  for (int i = 0; i < Tile::kFragmentRows; ++i) {
    MP_UNROLL
    for (int j = 0; j < Tile::kFragmentColumns; ++j)
      wmma::store_matrix_sync(slab + 16 * j, sums[i][j], Tile::kSlabPitch, wmma::mem_row_major);
    __syncwarp();
    use(i, slab);
    __syncwarp();
  }
}

}  // namespace miniparallel::kernels::cuda
