#include "kernels/cpu/panels.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/panels.cpp"
#include "kernels/cpu/targets.h"
// After targets.h, once per instruction set:
#include "kernels/cpu/tile.h"

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

constexpr int kVectors = 2;  // of a panel's row
template <class T>
using Shape = TileShape<T, kVectors>;

template <class T>
HWY_ATTR void pack(const T* matrix, std::int64_t stride, std::int64_t rows, std::int64_t columns, T* to) {
  constexpr std::int64_t width = Shape<T>::columns;
  for (std::int64_t column = 0; column < columns; column += width) {
    const std::int64_t count = std::min(width, columns - column);
    for (std::int64_t r = 0; r < rows; ++r, to += width) {
      std::copy_n(matrix + r * stride + column, count, to);
      std::fill(to + count, to + width, T(0));
    }
  }
}

template <class T>
HWY_ATTR void pack_turned(const T* matrix, std::int64_t stride, std::int64_t rows, std::int64_t columns,
                          T* to) {
  constexpr std::int64_t width = Shape<T>::columns;
  for (std::int64_t row = 0; row < rows; row += width, to += width * columns)
    transpose_in<width>(matrix + row * stride, stride, static_cast<int>(std::min(width, rows - row)), columns,
                        to);
}

template <class T>
HWY_ATTR void multiply(const Left<T>& a, std::int64_t rows, const T* b, std::int64_t inner,
                       std::int64_t columns, T* c, std::int64_t c_stride, const Start<T>& start,
                       const Wedge& wedge) {
  constexpr std::int64_t width = Shape<T>::columns;
  for (std::int64_t column = 0; column < columns; column += width, b += inner * width)
    for (std::int64_t chunk = 0; chunk < std::max<std::int64_t>(inner, 1); chunk += Shape<T>::inner)
      for_each_tile(rows, Shape<T>::rows, [&](std::int64_t row, std::int64_t height) HWY_ATTR {
        const std::int64_t first = std::max<std::int64_t>(row - wedge.behind, 0);
        const std::int64_t last = std::min(inner, row + height + wedge.ahead - 1);
        const std::int64_t begin = std::max(chunk, first), end = std::min(chunk + Shape<T>::inner, last);
        T* const to = c + row * c_stride + column;
        const Start<T> from = begin > first && first < last ? Start<T>{to, c_stride} : start.at(row, column);
        if (column >= row + height + wedge.columns - 1 || (begin >= end && from.data == to)) return;
        const auto run = [&](T* out, std::int64_t stride, const Start<T>& sums) HWY_ATTR {
          tile_of<T, kVectors, Steps>(height, a.data + a.row[row] + a.inner[begin], a.row, a.inner,
                                      std::max<std::int64_t>(end - begin, 0), b + begin * width, out, stride,
                                      sums);
        };
        const std::int64_t count = std::min(width, columns - column);
        if (count == width) return run(to, c_stride, from);
        T rest[Shape<T>::rows * width] = {};
        for (std::int64_t r = 0; from.data != nullptr && r < height; ++r)
          std::copy_n(from.data + r * from.stride, count, rest + r * width);
        run(rest, width, {rest, width});
        for (std::int64_t r = 0; r < height; ++r) std::copy_n(rest + r * width, count, to + r * c_stride);
      });
}

template <class T>
constexpr PanelLoops<T> loops{Shape<T>::columns, pack<T>, pack_turned<T>, multiply<T>};

}  // namespace

const PanelLoops<float>& panel_loops_float32() { return loops<float>; }
const PanelLoops<double>& panel_loops_float64() { return loops<double>; }

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {
namespace {
MP_DISPATCH(PanelLoops<float>, panel_loops_float32)
MP_DISPATCH(PanelLoops<double>, panel_loops_float64)
}  // namespace

template <>
const PanelLoops<float>& panel_loops<float>() {
  return panel_loops_float32();
}
template <>
const PanelLoops<double>& panel_loops<double>() {
  return panel_loops_float64();
}

}  // namespace miniparallel::kernels::cpu
#endif
