#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/macros.h"

#include <cstdint>

/// Products of tiles by a block of (16, 16) threads, through shared memory. A tile of scores is (kRows,
/// kInner) and lies in registers: thread (x, y) has its rows 4 y + i and columns x + 16 j. What is
/// accumulated over many such tiles is (kRows, kColumns<T>): rows 4 y + i and packs of neighbouring columns.
/// Arrays in shared memory have 16 bytes between rows, so that neither pack by row nor by column meets bank
/// conflicts.

namespace miniparallel::kernels::cuda {

inline constexpr int kSide = 16;   // threads in x and in y
inline constexpr int kRows = 64;   // of a tile
inline constexpr int kInner = 32;  // columns of a tile of scores
inline constexpr int kDepth = 16;  // of a product, at once
inline constexpr int kPacks = 2;   // of accumulated columns per thread and row

/// 16 bytes of shared memory.
template <class T>
struct alignas(16) Pack {
  static constexpr int size = 16 / sizeof(T);
  T at[size];
};

template <class T>
inline constexpr int kColumns = kSide* kPacks* Pack<T>::size;

template <class T>
using Scores = T[4][2];
template <class T>
using Accumulated = Pack<T>[4][kPacks];

/// Rows of a matrix in global memory; those from `count` on are zero.
template <class T>
struct Rows {
  const T* data;
  std::int64_t stride, count;

  __device__ T load(int row, std::int64_t column, std::int64_t width) const {
    return row < count && column < width ? data[row * stride + column] : T(0);
  }
};

/// A (rows, columns) array of the block.
template <class T, int rows, int columns, int tag>
struct SharedTile {
  static constexpr int row_packs = columns / Pack<T>::size + 1;
  using Packs = Pack<T>[rows * row_packs];
  Packs& packs = miniparallel::cuda::shared_array<Pack<T>, rows * row_packs, tag>();

  __device__ T& at(int row, int column) const {
    return packs[row * row_packs + column / Pack<T>::size].at[column % Pack<T>::size];
  }
  __device__ const Pack<T>& pack(int row, int index) const { return packs[row * row_packs + index]; }
  /// Rows [row, row + rows) and columns [column, column + columns) of a matrix that is `width` wide.
  __device__ void load(const Rows<T>& from, int row, std::int64_t column, std::int64_t width) const {
    MP_UNROLL_BY(2)
    for (int i = static_cast<int>(threadIdx.y * kSide + threadIdx.x); i < rows * columns; i += kSide * kSide)
      at(i / columns, i % columns) = from.load(row + i / columns, column + i % columns, width);
  }
};

template <class T>
using Weights = SharedTile<T, kRows, kInner, 0>;

/// scores = a b^T for kRows rows of a and kInner rows of b, `width` wide.
template <class T>
__device__ void multiply_rows(const Rows<T>& a, const Rows<T>& b, std::int64_t width, Scores<T>& scores) {
  const SharedTile<T, kRows, kDepth, 1> left;
  const SharedTile<T, kInner, kDepth, 2> right;
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  MP_UNROLL
  for (int i = 0; i < 4; ++i) scores[i][0] = scores[i][1] = 0;
  std::int64_t column = 0;
  do {
    __syncthreads();  // the tiles of before have been read
    left.load(a, 0, column, width);
    right.load(b, 0, column, width);
    __syncthreads();
    MP_UNROLL_BY(1)  // registers for two blocks on a multiprocessor
    for (int d = 0; d < kDepth / Pack<T>::size; ++d) {
      const Pack<T> first = right.pack(x, d), second = right.pack(x + kSide, d);
      MP_UNROLL
      for (int i = 0; i < 4; ++i) {
        const Pack<T> row = left.pack(4 * y + i, d);
        MP_UNROLL
        for (int k = 0; k < Pack<T>::size; ++k) {
          scores[i][0] += row.at[k] * first.at[k];
          scores[i][1] += row.at[k] * second.at[k];
        }
      }
    }
    column += kDepth;
  } while (column < width);
}

/// sums += weights b, for kInner rows of b and its columns from `column` on. The weights may just have been
/// written.
template <class T>
__device__ void add_weighted_rows(const Weights<T>& weights, const Rows<T>& b, std::int64_t column,
                                  std::int64_t width, Accumulated<T>& sums) {
  const SharedTile<T, kDepth, kColumns<T>, 3> right;
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  for (int first = 0; first < kInner; first += kDepth) {
    __syncthreads();
    right.load(b, first, column, width);
    __syncthreads();
    MP_UNROLL_BY(1)
    for (int d = 0; d < kDepth; d += Pack<T>::size) {
      Pack<T> left[4];
      MP_UNROLL
      for (int i = 0; i < 4; ++i) left[i] = weights.pack(4 * y + i, (first + d) / Pack<T>::size);
      MP_UNROLL
      for (int k = 0; k < Pack<T>::size; ++k) {
        MP_UNROLL
        for (int p = 0; p < kPacks; ++p) {
          const Pack<T> row = right.pack(d + k, p * kSide + x);
          MP_UNROLL
          for (int i = 0; i < 4; ++i) {
            MP_UNROLL
            for (int c = 0; c < Pack<T>::size; ++c) sums[i][p].at[c] += left[i].at[k] * row.at[c];
          }
        }
      }
    }
  }
}

/// Calls f(i, column, sum) for the thread's sums whose columns are below `width`.
template <class T, class F>
__device__ void for_each_sum(const Accumulated<T>& sums, std::int64_t column, std::int64_t width,
                             const F& f) {
  MP_UNROLL
  for (int i = 0; i < 4; ++i) {
    MP_UNROLL
    for (int p = 0; p < kPacks; ++p) {
      MP_UNROLL
      for (int c = 0; c < Pack<T>::size; ++c) {
        const std::int64_t at = column + (p * kSide + static_cast<int>(threadIdx.x)) * Pack<T>::size + c;
        if (at < width) f(i, at, sums[i][p].at[c]);
      }
    }
  }
}

/// Combines the values of the 16 threads of the same y; all of them get the result, to the bit.
template <class T, class F>
__device__ T combine_side(T value, const F& f) {
  for (int distance = kSide / 2; distance > 0; distance /= 2)
    value = f(value, __shfl_xor_sync(0xffffffffu, value, distance));
  return value;
}

}  // namespace miniparallel::kernels::cuda
