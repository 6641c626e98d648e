#pragma once

#include "kernels/cuda/conv2d/gemm_geometry.cuh"
#include "kernels/cuda/device/launch_on.cuh"

namespace miniparallel::kernels::cuda {

/// The part of a product c = a b that a block makes: kRows x kColumns sums, kDepth products at a time, each
/// thread kThreadRows x kThreadColumns of them in registers. The parts of a and b are in shared memory, the
/// product's depth outermost.
template <class Number, int rows, int columns, int thread_rows, int thread_columns>
struct Tile {
  using T = Number;
  static constexpr int kRows = rows, kColumns = columns, kDepth = 8;
  static constexpr int kThreadRows = thread_rows, kThreadColumns = thread_columns;
  static constexpr int kThreadsX = columns / thread_columns, kThreadsY = rows / thread_rows;
  static constexpr int kThreads = kThreadsX * kThreadsY;
  static constexpr int kResident = 4;  // blocks for whose registers a multiprocessor has room
  static constexpr int kVector = 16 / static_cast<int>(sizeof(T));  // elements of one shared memory access
  // 16 bytes more than a line: threads that write kDepth lines of neighbours meet no bank twice.
  static constexpr int kRowPitch = rows + kVector, kColumnPitch = columns + kVector;
  static constexpr int kLoadsA = rows * kDepth / kThreads, kLoadsB = columns * kDepth / kThreads;
  static_assert(rows * kDepth % kThreads == 0 && columns * kDepth % kThreads == 0);
  static_assert(thread_rows % kVector == 0 && thread_columns % kVector == 0 && kThreads % kDepth == 0);

  /// Two of each: while one is multiplied, the next is written.
  struct Parts {
    alignas(16) T a[2][kDepth * kRowPitch];
    alignas(16) T b[2][kDepth * kColumnPitch];
  };
  struct Sums {
    T at[kThreadRows][kThreadColumns];
  };

  /// Where a thread stands: a warp is 8 x 4 threads, which read the least that way.
  MP_INLINE static int x_of(int thread) { return thread % 8 + thread / 32 % (kThreadsX / 8) * 8; }
  MP_INLINE static int y_of(int thread) { return thread / 8 % 4 + thread / (4 * kThreadsX) * 4; }
  static_assert(kThreadsX % 8 == 0 && kThreadsY % 4 == 0);

  /// Rows and columns of the tile that a thread's sums belong to: runs of kVector, so that neighbouring
  /// threads read neighbouring 16 bytes.
  MP_INLINE static int row_of(int thread, int i) {
    return (i / kVector * kThreadsY + y_of(thread)) * kVector + i % kVector;
  }
  MP_INLINE static int column_of(int thread, int j) {
    return (j / kVector * kThreadsX + x_of(thread)) * kVector + j % kVector;
  }

  struct alignas(16) Vector {
    T at[kVector];
  };

  MP_INLINE static void multiply(const T* a, const T* b, int thread, Sums& sums) {
    MP_UNROLL
    for (int k = 0; k < kDepth; ++k) {
      Vector left[kThreadRows / kVector], right[kThreadColumns / kVector];
      MP_UNROLL
      for (int i = 0; i < kThreadRows; i += kVector)
        left[i / kVector] = *reinterpret_cast<const Vector*>(a + k * kRowPitch + row_of(thread, i));
      MP_UNROLL
      for (int j = 0; j < kThreadColumns; j += kVector)
        right[j / kVector] = *reinterpret_cast<const Vector*>(b + k * kColumnPitch + column_of(thread, j));
      MP_UNROLL
      for (int i = 0; i < kThreadRows; ++i) MP_UNROLL
      for (int j = 0; j < kThreadColumns; ++j)
        sums.at[i][j] += left[i / kVector].at[i % kVector] * right[j / kVector].at[j % kVector];
    }
  }
};

/// A block's sums over `count` parts. `load.fetch(i)` reads part i into
/// registers and `load.store(a, b)` puts it into shared memory: the reads run
/// while the part before is multiplied. `use(a)` looks at each part of a.
template <class Tile, class Load, class Use>
__device__ void multiply_parts(int count, int thread, Load& load, typename Tile::Sums& sums, const Use& use) {
  auto& parts = miniparallel::cuda::shared_array<typename Tile::Parts, 1>()[0];
  if (count > 0) {
    load.fetch(0);
    load.store(parts.a[0], parts.b[0]);
  }
  __syncthreads();
  for (int i = 0; i < count; ++i) {
    const int now = i % 2, next = 1 - now;
    if (i + 1 < count) load.fetch(i + 1);
    Tile::multiply(parts.a[now], parts.b[now], thread, sums);
    use(parts.a[now]);
    if (i + 1 < count) load.store(parts.a[next], parts.b[next]);
    __syncthreads();
  }
}

}  // namespace miniparallel::kernels::cuda
