#pragma once

#include "kernels/cpu/start.h"
#include "kernels/macros.h"

#include <cstdint>

/// Products of small matrices, for which the BLAS takes long to begin, and of halves of them. The right side
/// lies in panels: some columns of it row by row, then the next ones; the last panel is filled up with zeros.

namespace miniparallel::kernels::cpu {

/// Elements a step apart, where those of a convolution are in a table.
struct Steps {
  std::int64_t step;

  MP_INLINE std::int64_t operator[](std::int64_t i) const { return i * step; }
};

/// The left side of a product: where its rows are, and what is next to one another in a row.
template <class T>
struct Left {
  const T* data;
  Steps row, inner;
};

/// What row r of a product does not need, counted from r: results from column r + columns on, and products of
/// others than elements [r - behind, r + ahead) of the row of a.
struct Wedge {
  static constexpr std::int64_t all = std::int64_t{1} << 62;
  std::int64_t columns = all, behind = all, ahead = all;
};

template <class T>
struct PanelLoops {
  std::int64_t width;  ///< columns of a panel
  /// Writes a matrix (rows, columns), of rows `stride` apart, as panels; the same of its transpose.
  void (*pack)(const T* matrix, std::int64_t stride, std::int64_t rows, std::int64_t columns, T* to);
  void (*pack_turned)(const T* matrix, std::int64_t stride, std::int64_t rows, std::int64_t columns, T* to);
  /// c (rows, columns) = start + a b, for b (inner, columns) in panels; start may be c. What is not needed is
  /// not computed, in whole tiles, and not defined.
  void (*multiply)(const Left<T>& a, std::int64_t rows, const T* b, std::int64_t inner, std::int64_t columns,
                   T* c, std::int64_t c_stride, const Start<T>& start, const Wedge& wedge);

  /// `columns` rounded up to whole panels.
  MP_INLINE std::int64_t whole(std::int64_t columns) const { return (columns + width - 1) / width * width; }
};

template <class T>
const PanelLoops<T>& panel_loops();

}  // namespace miniparallel::kernels::cpu
