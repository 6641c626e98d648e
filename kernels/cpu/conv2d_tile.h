// The inner loop of every convolution; included once per instruction set, after kernels/cpu/targets.h.

// clang-format off
#if defined(MINIPARALLEL_CONV2D_TILE) == defined(HWY_TARGET_TOGGLE)
#ifdef MINIPARALLEL_CONV2D_TILE
#undef MINIPARALLEL_CONV2D_TILE
#else
#define MINIPARALLEL_CONV2D_TILE
#endif
// clang-format on

#include <algorithm>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

constexpr int kTileRows = 6;  // with two vectors each: 12 sums in flight, which hides the latency of the FMA

/// 32 bytes, loaded from anywhere.
template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(32), aligned(sizeof(T)), may_alias));
};
template <class T>
using Vector = typename VectorOf<T>::type;

template <class T>
constexpr int kVectorLanes = 32 / static_cast<int>(sizeof(T));
/// Columns of a tile.
template <class T>
constexpr int kTileColumns = 2 * kVectorLanes<T>;

template <class T>
MP_INLINE Vector<T>& vector_at(T* p) {
  return *reinterpret_cast<Vector<T>*>(p);
}
template <class T>
MP_INLINE const Vector<T>& vector_at(const T* p) {
  return *reinterpret_cast<const Vector<T>*>(p);
}

/// out[r][0 .. kTileColumns) (+)= sum over i < k of source[rows[r] + inner[i]] * b[i][0 .. kTileColumns).
template <class T, int rows>
HWY_ATTR void tile(const T* source, const std::int64_t* row_offsets, const std::int64_t* inner,
                   std::int64_t k, const T* b, T* out, bool accumulate) {
  constexpr int lanes = kVectorLanes<T>;
  Vector<T> sum[rows][2] = {};
  const T* row[rows];
  for (int r = 0; r < rows; ++r) row[r] = source + row_offsets[r];
  if (accumulate)
    for (int r = 0; r < rows; ++r) {
      sum[r][0] = vector_at(out + 2 * r * lanes);
      sum[r][1] = vector_at(out + (2 * r + 1) * lanes);
    }
  for (std::int64_t i = 0; i < k; ++i, b += 2 * lanes) {
    const std::int64_t offset = inner[i];
    const Vector<T> b0 = vector_at(b), b1 = vector_at(b + lanes);
    for (int r = 0; r < rows; ++r) {
      const T value = row[r][offset];
      sum[r][0] += value * b0;
      sum[r][1] += value * b1;
    }
  }
  for (int r = 0; r < rows; ++r) {
    vector_at(out + 2 * r * lanes) = sum[r][0];
    vector_at(out + (2 * r + 1) * lanes) = sum[r][1];
  }
}

/// The same for any number of rows, cut into tiles of nearly equal height.
template <class T>
HWY_ATTR void tiles(const T* source, const std::int64_t* row_offsets, std::int64_t rows,
                    const std::int64_t* inner, std::int64_t k, const T* b, T* out, bool accumulate) {
  using Tile = void (*)(const T*, const std::int64_t*, const std::int64_t*, std::int64_t, const T*, T*, bool);
  static constexpr Tile by_rows[] = {nullptr,    tile<T, 1>, tile<T, 2>,        tile<T, 3>,
                                     tile<T, 4>, tile<T, 5>, tile<T, kTileRows>};
  std::int64_t left = (rows + kTileRows - 1) / kTileRows;
  for (std::int64_t done = 0; done < rows; --left) {
    const std::int64_t height = (rows - done + left - 1) / left;
    by_rows[height](source, row_offsets + done, inner, k, b, out + done * kTileColumns<T>, accumulate);
    done += height;
  }
}

/// to[column][row] = from[row][column], `columns` of them at most kTileColumns apart in `from`.
template <class T>
HWY_ATTR void transpose_out(const T* from, std::int64_t rows, int columns, T* to, std::int64_t to_stride,
                            const T* bias, int beta) {
  constexpr int width = kTileColumns<T>;
  for (int c = 0; c < columns; ++c) {
    T* target = to + c * to_stride;
    const T* source = from + c;
    const T start = bias == nullptr ? T(0) : bias[c];
    if (beta == 0)
      for (std::int64_t r = 0; r < rows; ++r) target[r] = start + source[r * width];
    else
      for (std::int64_t r = 0; r < rows; ++r) target[r] += start + source[r * width];
  }
}

/// to[row][column] = from[column][row], zero for columns past `columns`.
template <class T>
HWY_ATTR void transpose_in(const T* from, std::int64_t from_stride, int columns, std::int64_t rows, T* to) {
  constexpr int width = kTileColumns<T>;
  for (int c = 0; c < width; ++c)
    for (std::int64_t r = 0; r < rows; ++r)
      to[r * width + c] = c < columns ? from[c * from_stride + r] : T(0);
}

}  // namespace
}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
