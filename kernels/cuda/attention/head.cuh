#pragma once

#include "kernels/attention.h"
#include "kernels/cuda/attention/tiles.cuh"

#include <algorithm>
#include <limits>
#include <numbers>

namespace miniparallel::kernels::cuda {

/// The argument of the kernels.
struct AttentionCall {
  AttentionArgs args;
  AttentionGradients gradients;
  int n, m, e, ev;  // those of args
  unsigned chunks;  // of the results' columns
};

inline constexpr int kMaxRows = 1 << 30;  // and columns, of a matrix

template <class T>
inline constexpr T kMasked = -std::numeric_limits<T>::infinity();  // the score of a masked element

/// One matrix of the batch.
template <class Tile>
struct AttentionHead {
  using Number = typename Tile::Number;
  using T = typename Tile::T;
  using Rows = cuda::Rows<Tile>;
  const AttentionCall& call;
  const AttentionArgs& args;
  Rows q, k, v, out, g, dq, dk, dv;
  const void* mask;
  T *log_sums, *row_products;

  __device__ AttentionHead(const AttentionCall& whole, unsigned index)
      : AttentionHead(whole, index, offsets(whole, index)) {}

  /// Makes products of queries and keys the scores that
  /// the softmax sees, in base 2. The tile begins at `row` and `column`.
  template <bool rows_are_keys>
  __device__ void scale_and_mask(const Products<Tile>& at, int row, int column,
                                 typename Tile::Values& scores) const {
    const T scale = static_cast<T>(args.scale * std::numbers::log2e);
    const int columns = (rows_are_keys ? call.n : call.m) - column;
    // The column of the tile that is as far in its sequence as row 0 is; beyond every column when not causal.
    const int diagonal = args.causal ? row - column : rows_are_keys ? -kMaxRows : kMaxRows;
    MP_UNROLL
    for (int i = 0; i < Tile::kThreadRows; ++i) {
      const int same = at.row(i) + diagonal;
      MP_UNROLL
      for (int j = 0; j < Tile::kVector; ++j) {
        const int c = at.column(j);
        T& score = scores.row[i].at[j];
        score = c < columns && (rows_are_keys ? c >= same : c <= same) ? score * scale : kMasked<T>;
      }
    }
    if (mask == nullptr) return;
    const std::int64_t row_step = args.mask_strides[rows_are_keys],
                       column_step = args.mask_strides[!rows_are_keys];
    std::int64_t start = (row + at.row(0)) * row_step + (column + at.column(0)) * column_step;
    MP_UNROLL
    for (int i = 0; i < Tile::kThreadRows; ++i) {
      std::int64_t offset = start;
      MP_UNROLL
      for (int j = 0; j < Tile::kVector; ++j) {
        if (row + at.row(i) < (rows_are_keys ? call.m : call.n)) add_mask(offset, scores.row[i].at[j]);
        offset += Tile::kThreadsX * column_step;
      }
      start += Tile::kThreadsY * row_step;
    }
  }

 private:
  struct Offsets {
    std::int64_t q = 0, k = 0, v = 0, out = 0, g = 0, dq = 0, dk = 0, dv = 0, mask = 0;
  };
  __device__ static Offsets offsets(const AttentionCall& whole, unsigned index) {
    const AttentionArgs& args = whole.args;
    const AttentionGradients& gradients = whole.gradients;
    Offsets at;
    for (int d = args.batch_rank - 1; d >= 0; --d) {
      const auto size = static_cast<unsigned>(args.batch[d]);
      const std::int64_t i = index % size;
      index /= size;
      at.q += i * args.q.steps[d];
      at.k += i * args.k.steps[d];
      at.v += i * args.v.steps[d];
      at.out += i * args.out.steps[d];
      at.g += i * gradients.g.steps[d];
      at.dq += i * gradients.dq.steps[d];
      at.dk += i * gradients.dk.steps[d];
      at.dv += i * gradients.dv.steps[d];
      at.mask += i * args.mask_steps[d];
    }
    return at;
  }
  __device__ static Rows rows(const MatrixBatch& of, std::int64_t offset, int count, int width) {
    return {static_cast<Number*>(of.data) + offset, of.stride, count, width};
  }
  __device__ AttentionHead(const AttentionCall& whole, unsigned index, const Offsets& at)
      : call(whole),
        args(call.args),
        q(rows(args.q, at.q, call.n, call.e)),
        k(rows(args.k, at.k, call.m, call.e)),
        v(rows(args.v, at.v, call.m, call.ev)),
        out(rows(args.out, at.out, call.n, call.ev)),
        g(rows(whole.gradients.g, at.g, call.n, call.ev)),
        dq(rows(whole.gradients.dq, at.dq, call.n, call.e)),
        dk(rows(whole.gradients.dk, at.dk, call.m, call.e)),
        dv(rows(whole.gradients.dv, at.dv, call.m, call.ev)),
        mask(args.mask == nullptr
                 ? nullptr
                 : static_cast<const char*>(args.mask) +
                       at.mask * static_cast<int>(args.mask_is_bool ? sizeof(bool) : sizeof(Number))),
        log_sums(static_cast<T*>(args.log_sums) + index * args.n),
        row_products(static_cast<T*>(whole.gradients.row_products) + index * args.n) {}

  __device__ void add_mask(std::int64_t offset, T& score) const {
    if (score == kMasked<T>) return;
    if (!args.mask_is_bool)
      score += convert<T>(static_cast<const Number*>(mask)[offset]) * static_cast<T>(std::numbers::log2e);
    else if (!static_cast<const bool*>(mask)[offset])
      score = kMasked<T>;
  }
};

/// The result of a block: rows from `row` and columns from `column` of a result of matrix `index`. Blocks
/// that have more to sum than others for being causal start first.
template <class Tile>
struct AttentionPlace {
  unsigned index;
  int row, column;

  __device__ AttentionPlace(const AttentionCall& call, bool later_rows_are_longer) {
    const unsigned matrices = static_cast<unsigned>(call.args.matrices);
    const unsigned tiles = gridDim.x / call.chunks / matrices, tile = blockIdx.x / call.chunks / matrices;
    index = blockIdx.x / call.chunks % matrices;
    row = static_cast<int>(later_rows_are_longer ? tiles - 1 - tile : tile) * Tile::kRows;
    column = static_cast<int>(blockIdx.x % call.chunks) * Tile::kWidth;
  }
  /// Of the keys that a block of queries sees.
  __device__ int end_of_keys(const AttentionCall& call) const {
    return call.args.causal ? std::min(row + Tile::kRows, call.m) : call.m;
  }
};

}  // namespace miniparallel::kernels::cuda
