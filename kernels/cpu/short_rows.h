#pragma once

#include "kernels/layout.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

/// Rows of the innermost dimension that are too short to be worth a call each are taken many at once.

namespace miniparallel::kernels::cpu {

/// Elements below which a row is short.
inline constexpr std::int64_t kShortRow = 64;

inline bool has_short_rows(const Layout& layout) {
  return layout.rank >= 2 && layout.sizes[layout.rank - 1] < kShortRow;
}

/// Calls f(offsets, done, count) for rows [first, last), counted in row-major order, of a layout of two or
/// more dimensions: `count` rows in a row of the dimension next to the innermost one, of which the first is
/// at the offsets and `done` were before it.
template <class F>
void for_each_run_of_rows(const Layout& layout, std::int64_t first, std::int64_t last, const F& f) {
  const int next = layout.rank - 2;
  for (std::int64_t row = first; row < last;) {
    std::int64_t rest = row, offsets[kMaxOperands] = {};
    for (int d = next; d >= 0; --d) {
      const std::int64_t index = d == 0 ? rest : rest % layout.sizes[d];
      if (d > 0) rest /= layout.sizes[d];
      for (int k = 0; k < layout.operands; ++k) offsets[k] += index * layout.strides[k][d];
    }
    const std::int64_t count = std::min(last - row, layout.sizes[next] - row % layout.sizes[next]);
    f(offsets, row - first, count);
    row += count;
  }
}

/// An array of two dimensions: where it begins, the bytes of an element, the strides of its rows and within
/// them.
struct Matrix {
  void* data;
  std::int64_t bytes, row, column;
};

/// Copies matrices by `copy`, a CopyRow: rows that follow one another at once, a row that is all of them once
/// and then what is there as often as it takes, others along the longer dimension.
template <class Copy>
void copy_matrix(Copy copy, const Matrix& to, const Matrix& from, std::int64_t rows, std::int64_t columns) {
  const auto at = [](const Matrix& matrix, std::int64_t offset) {
    return static_cast<std::byte*>(matrix.data) + offset * matrix.bytes;
  };
  const bool to_array = to.column == 1 && to.row == columns;
  if (to_array && from.column == 1 && from.row == columns) {
    copy(at(to, 0), 1, at(from, 0), 1, rows * columns);
  } else if (to_array && from.row == 0 && from.column != 0) {
    copy(at(to, 0), 1, at(from, 0), from.column, columns);
    for (std::int64_t done = 1, n; done < rows; done += n) {
      n = std::min(done, rows - done);
      std::memcpy(at(to, done * columns), to.data, static_cast<std::size_t>(n * columns * to.bytes));
    }
  } else if (rows >= columns) {
    for (std::int64_t c = 0; c < columns; ++c)
      copy(at(to, c * to.column), to.row, at(from, c * from.column), from.row, rows);
  } else {
    for (std::int64_t r = 0; r < rows; ++r)
      copy(at(to, r * to.row), to.column, at(from, r * from.row), from.column, columns);
  }
}

}  // namespace miniparallel::kernels::cpu
