#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

/// Many arrays in one launch: a block takes a chunk of kRowChunk elements of one row, which has an `n`. The
/// rows travel as the kernel's argument, hundreds at a time; what does not fit in one goes to another launch.

namespace miniparallel::kernels::cuda {

inline constexpr std::int64_t kRowChunk = 4096;

// Of the 32764 bytes that arguments may have. An argument is copied whole, however few its rows are, so there
// are two sizes; a second launch would cost the host more than the larger copy.
inline constexpr std::size_t kSmallArgument = 3584, kLargeArgument = 32256;

template <class Row>
constexpr int rows_in(std::size_t bytes) {
  return static_cast<int>(bytes / (sizeof(Row) + sizeof(std::int64_t)));
}

/// Elements [begin, end) of a row.
template <class Row>
struct RowPart {
  const Row& row;
  std::int64_t begin, end;
};

/// Blocks [first[i], first[i + 1]) of the launch belong to row i.
template <class RowType, int Capacity>
struct Batch {
  using Row = RowType;
  static constexpr int capacity = Capacity;
  int count = 0;
  std::int64_t first[Capacity + 1] = {};
  Row rows[Capacity];

  __device__ int row_of(std::int64_t block) const {
    int low = 0, high = count - 1;
    while (low < high) {
      const int middle = (low + high + 1) / 2;
      if (first[middle] <= block)
        low = middle;
      else
        high = middle - 1;
    }
    return low;
  }
  /// What a block of the launch works on.
  __device__ RowPart<Row> chunk(std::int64_t block) const {
    const int r = row_of(block);
    const std::int64_t begin = (block - first[r]) * kRowChunk;
    return {rows[r], begin, begin + kRowChunk < rows[r].n ? begin + kRowChunk : rows[r].n};
  }
};

template <class Rows, class Start>
void fill_batches(std::span<const typename Rows::Row> rows, const Start& start) {
  std::int64_t before = 0;
  Rows batch;
  const auto flush = [&] {
    const std::int64_t blocks = batch.first[batch.count];
    if (blocks > 0) start(batch, static_cast<unsigned>(blocks), before);
    before += blocks;
    batch.count = 0;
  };
  for (const auto& row : rows) {
    if (row.n == 0) continue;
    if (batch.count == Rows::capacity) flush();
    batch.rows[batch.count] = row;
    batch.first[batch.count + 1] = batch.first[batch.count] + (row.n + kRowChunk - 1) / kRowChunk;
    ++batch.count;
  }
  flush();
}

/// Calls start(batch, blocks, blocks before it) for batches that together hold the rows.
template <class Row, class Start>
void for_each_batch(std::span<const Row> rows, const Start& start) {
  constexpr int few = rows_in<Row>(kSmallArgument);
  if (rows.size() <= few)
    fill_batches<Batch<Row, few>>(rows, start);
  else
    fill_batches<Batch<Row, rows_in<Row>(kLargeArgument)>>(rows, start);
}

}  // namespace miniparallel::kernels::cuda
