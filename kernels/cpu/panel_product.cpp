#include "kernels/cpu/panel_product.h"

#include "kernels/cpu/panels.h"
#include "kernels/cpu/scratch.h"

#include <algorithm>

namespace miniparallel::kernels::cpu {
namespace {

// A block of b, kInner * kColumns, is half of an L2 cache in float32; one of a, kInner * kRows, stays there.
constexpr std::int64_t kInner = 256, kColumns = 512, kRows = 96;

struct BlockOfA;
struct BlockOfB;

/// Rows [row, row + rows) of a, elements [first, first + inner) of each.
template <class T>
Left<T> left(const Matrix& a, std::int64_t row, std::int64_t rows, std::int64_t first, std::int64_t inner) {
  const T* const data = static_cast<const T*>(a.data);
  if (!a.transposed) return {data + row * a.stride + first, {a.stride}, {1}};
  T* const block = scratch<BlockOfA, T>(kInner * kRows);
  for (std::int64_t i = 0; i < inner; ++i)
    std::copy_n(data + (first + i) * a.stride + row, rows, block + i * rows);
  return {block, {1}, {rows}};
}

/// Columns [column, column + columns) of b, elements [first, first + inner) of each, in panels.
template <class T>
const T* pack(const Matrix& b, std::int64_t column, std::int64_t columns, std::int64_t first,
              std::int64_t inner) {
  const PanelLoops<T>& panels = panel_loops<T>();
  const T* const data = static_cast<const T*>(b.data);
  T* const block = scratch<BlockOfB, T>(kInner * panels.whole(kColumns));
  if (b.transposed)
    panels.pack_turned(data + column * b.stride + first, b.stride, columns, inner, block);
  else
    panels.pack(data + first * b.stride + column, b.stride, inner, columns, block);
  return block;
}

}  // namespace

template <class T>
void panel_product(const MatmulArgs& args) {
  for (std::int64_t column = 0; column < args.columns; column += kColumns)
    for (std::int64_t first = 0; first < std::max<std::int64_t>(args.inner, 1); first += kInner) {
      const std::int64_t columns = std::min(kColumns, args.columns - column);
      const std::int64_t inner = std::min(kInner, args.inner - first);
      const T* const b = pack<T>(args.b, column, columns, first, inner);
      const Start<T> sums{static_cast<const T*>(args.c), args.c_stride};
      const Start<T> start = first > 0 || args.beta != 0 ? sums : Start<T>{static_cast<const T*>(args.bias)};
      for (std::int64_t row = 0; row < args.rows; row += kRows) {
        const std::int64_t rows = std::min(kRows, args.rows - row);
        panel_loops<T>().multiply(left<T>(args.a, row, rows, first, inner), rows, b, inner, columns,
                                  static_cast<T*>(args.c) + row * args.c_stride + column, args.c_stride,
                                  start.at(row, column), {});
      }
    }
}

template void panel_product<float>(const MatmulArgs&);
template void panel_product<double>(const MatmulArgs&);

}  // namespace miniparallel::kernels::cpu
