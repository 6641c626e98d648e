#pragma once

#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/stored.cuh"

/// Products of tiles by a block of threads (x, y), 16 by 8, through shared memory. A tile of scores is in
/// registers: a thread has its rows y + 8 i and columns x + 16 j. A sum over many such tiles
/// has the same rows; of its columns a thread has the pack x. All tiles are in shared memory row by row with
/// 16 bytes between rows, so that neither packs of neighbouring rows nor neighbouring packs share a bank.

namespace miniparallel::kernels::cuda {

/// Part of a matrix on its way from global to shared memory, in
/// the registers of the block: `lines` rows of `packs` packs.
template <class Number, int lines, int packs, int threads>
struct Slice {
  using T = Computed<Number>;
  static constexpr int kVector = kPack<T>;
  static constexpr int kPitch = (packs + 1) * kVector;
  static constexpr int kLoads = lines * packs / threads, kStep = threads / packs;
  static_assert(lines * packs % threads == 0 && threads % packs == 0);
  Pack<Number, kVector> loaded[kLoads];

  template <class Rows>
  __device__ void fetch(const Rows& rows, int thread, int column) {
    rows.load(thread / packs, kStep, column + thread % packs * kVector, loaded);
  }
  __device__ void store(T* shared, int thread) const {
    MP_UNROLL
    for (int i = 0; i < kLoads; ++i)
      write_pack(shared, (thread / packs + i * kStep) * kPitch + thread % packs * kVector,
                 read_pack<kVector>(loaded[i].at, 0));
  }
};

/// `Stored`: the type of the matrices in global memory. `thread_rows`: rows of a tile per thread. `packed`:
/// all matrices consist of whole packs at multiples of their size.
template <class Stored, int thread_rows, bool packed>
struct AttentionTile {
  using Number = Stored;
  using T = Computed<Number>;
  static constexpr int kThreadsX = 16, kThreadsY = 8, kThreads = kThreadsX * kThreadsY;
  static constexpr int kVector = kPack<T>;
  static constexpr bool kPacked = packed;
  static constexpr int kThreadRows = thread_rows;
  static constexpr int kRows = kThreadsY * kThreadRows;
  static constexpr int kColumns = kThreadsX * kVector;     // of the scores
  static constexpr int kWidth = kColumns;                  // of the sums
  static constexpr int kDepth = kColumns / 4;              // of a product, at once
  static constexpr int kUnroll = thread_rows > 4 ? 1 : 2;  // of a product's loop: as registers allow
  using Left = Slice<Number, kRows, kDepth / kVector, kThreads>;
  using Right = Slice<Number, kColumns, kDepth / kVector, kThreads>;
  using Summed = Slice<Number, kDepth, kColumns / kVector, kThreads>;
  static constexpr int kPitch = Summed::kPitch;  // of the weights

  /// A thread's part of a tile.
  struct Values {
    Pack<T, kVector> row[kThreadRows];
  };
  using Sums = Values;

  struct Shared {
    alignas(16) T left[kRows * Left::kPitch];
    alignas(16) T right[kColumns * Right::kPitch];  // or the summands
    alignas(16) T weights[kRows * kPitch];
  };
  static_assert(kDepth * Summed::kPitch <= kColumns * Right::kPitch);
};

/// Rows of a matrix in global memory; those from `count` on are not there.
template <class Tile>
struct Rows {
  using Number = typename Tile::Number;
  Number* data;
  std::int64_t stride;
  int count, width;

  __device__ Rows from(int row) const { return {data + row * stride, stride, count - row, width}; }

  /// Packs of rows `row`, `row` + step, ...; zero where nothing is.
  template <int width_of_pack, int size>
  __device__ void load(int row, int step, int column, Pack<Number, width_of_pack> (&packs)[size]) const {
    const Number* source = data + row * stride + column;
    MP_UNROLL
    for (int i = 0; i < size; ++i) {
      packs[i] = Pack<Number, width_of_pack>{};
      if constexpr (Tile::kPacked) {
        if (row + i * step < count && column < width) packs[i] = pack_at<width_of_pack>(source, 0);
      } else {
        MP_UNROLL
        for (int c = 0; c < width_of_pack; ++c)
          if (row + i * step < count && column + c < width) packs[i].at[c] = source[c];
      }
      source += step * stride;
    }
  }
  __device__ void store(int row, int column, const Pack<Computed<Number>, Tile::kVector>& pack) const {
    if (row >= count || column >= width) return;
    Number* const target = data + row * stride + column;
    if constexpr (Tile::kPacked) {
      write_pack(target, 0, pack);
    } else {
      MP_UNROLL
      for (int c = 0; c < Tile::kVector; ++c)
        if (column + c < width) target[c] = convert<Number>(pack.at[c]);
    }
  }
};

/// Calls f(i, j) for a thread's values.
template <class Tile, class F>
__device__ void for_each_value(const F& f) {
  MP_UNROLL
  for (int i = 0; i < Tile::kThreadRows; ++i) {
    MP_UNROLL
    for (int j = 0; j < Tile::kVector; ++j) f(i, j);
  }
}

/// A chain of products. While one is multiplied, the next is being loaded: each ends by `next()`,
/// which begins the one that follows.
template <class Tile>
struct Products {
  using T = typename Tile::T;
  using Values = typename Tile::Values;
  using Sums = typename Tile::Sums;
  using Packed = Pack<T, Tile::kVector>;

  // Of any four threads two share x and two share y: so half a warp reads packs at once, a quarter elsewise.
  const int thread = static_cast<int>(threadIdx.x);
  const int x = thread / 2 % Tile::kThreadsX, y = thread % 2 + thread / 32 * 2;
  typename Tile::Shared& shared = miniparallel::cuda::shared_array<typename Tile::Shared, 1>()[0];
  typename Tile::Left left;
  typename Tile::Right right;
  typename Tile::Summed summed;

  __device__ int row(int i) const { return y + Tile::kThreadsY * i; }
  __device__ int column(int j) const { return x + Tile::kThreadsX * j; }
  __device__ T& weight(int i, int j) const { return shared.weights[row(i) * Tile::kPitch + column(j)]; }

  __device__ void begin_scores(const Rows<Tile>& a, const Rows<Tile>& b, int at = 0) {
    left.fetch(a, thread, at);
    right.fetch(b, thread, at);
  }
  /// a b^T.
  template <class Next>
  __device__ Values scores(const Rows<Tile>& a, const Rows<Tile>& b, const Next& next) {
    Values scores = {};
    int at = 0;
    do {
      __syncthreads();  // the previous content has been read
      left.store(shared.left, thread);
      right.store(shared.right, thread);
      __syncthreads();
      at += Tile::kDepth;
      at < a.width ? begin_scores(a, b, at) : next();
      multiply_rows(scores);
    } while (at < a.width);
    return scores;
  }

  __device__ void begin_sums(const Rows<Tile>& b, int at) { summed.fetch(b, thread, at); }
  /// sums += weights b, for the columns of b from `at` on. The weights may just have been written.
  template <class Next>
  __device__ void add(const Rows<Tile>& b, int at, Sums& sums, const Next& next) {
    MP_UNROLL_BY(1)
    for (int first = 0; first < Tile::kColumns; first += Tile::kDepth) {
      __syncthreads();
      summed.store(shared.right, thread);
      __syncthreads();
      first + Tile::kDepth < Tile::kColumns ? begin_sums(b.from(first + Tile::kDepth), at) : next();
      multiply_weights(first, sums);
    }
  }

  /// Multiplies the thread's rows; all threads of a row have its factor.
  __device__ void scale(const T (&factors)[Tile::kThreadRows], Sums& sums) const {
    for_each_value<Tile>([&](int i, int j) { sums.row[i].at[j] *= factors[i]; });
  }
  /// Calls use(i, column, pack) for the thread's parts of the sums.
  template <class Use>
  __device__ void for_each_pack(const Sums& sums, const Use& use) const {
    MP_UNROLL
    for (int i = 0; i < Tile::kThreadRows; ++i) use(i, x * Tile::kVector, sums.row[i]);
  }

 private:
  __device__ static Packed read(const T* part, int pitch, int row, int column) {
    return pack_at<Tile::kVector>(part, row * pitch + column);
  }

  __device__ void multiply_rows(Values& scores) const {
    MP_UNROLL_BY(Tile::kUnroll)
    for (int d = 0; d < Tile::kDepth; d += Tile::kVector) {
      Packed b[Tile::kVector];
      MP_UNROLL
      for (int j = 0; j < Tile::kVector; ++j) b[j] = read(shared.right, Tile::Right::kPitch, column(j), d);
      MP_UNROLL
      for (int i = 0; i < Tile::kThreadRows; ++i) {
        const Packed a = read(shared.left, Tile::Left::kPitch, row(i), d);
        MP_UNROLL
        for (int k = 0; k < Tile::kVector; ++k) {
          MP_UNROLL
          for (int j = 0; j < Tile::kVector; ++j) scores.row[i].at[j] += a.at[k] * b[j].at[k];
        }
      }
    }
  }

  __device__ void multiply_weights(int first, Sums& sums) const {
    MP_UNROLL_BY(Tile::kUnroll)
    for (int d = 0; d < Tile::kDepth; d += Tile::kVector) {
      Packed b[Tile::kVector];
      MP_UNROLL
      for (int k = 0; k < Tile::kVector; ++k)
        b[k] = read(shared.right, Tile::Summed::kPitch, d + k, x * Tile::kVector);
      MP_UNROLL
      for (int i = 0; i < Tile::kThreadRows; ++i) {
        const Packed a = read(shared.weights, Tile::kPitch, row(i), first + d);
        MP_UNROLL
        for (int k = 0; k < Tile::kVector; ++k) {
          MP_UNROLL
          for (int c = 0; c < Tile::kVector; ++c) sums.row[i].at[c] += a.at[k] * b[k].at[c];
        }
      }
    }
  }
};

/// Combines the values of the 16 threads of the same y; all of them get the result, to the bit.
template <class T, class F>
__device__ T combine_over_columns(T value, const F& f) {
  for (int distance = 16; distance > 1; distance /= 2)
    value = f(value, __shfl_xor_sync(0xffffffffu, value, distance));
  return value;
}

}  // namespace miniparallel::kernels::cuda
