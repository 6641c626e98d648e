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
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

/// Bytes of a vector.
constexpr int kVectorBytes = HWY_TARGET == HWY_AVX3 ? 64 : 32;

/// A vector in registers.
template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(kVectorBytes)));
};
template <class T>
using Vector = typename VectorOf<T>::type;

template <class T>
constexpr int kVectorLanes = kVectorBytes / static_cast<int>(sizeof(T));

/// A tile's columns: one or two vectors. `rows` of them keep enough sums in flight to hide the latency of the
/// FMA; `inner` rows of b stay in the L1 cache from tile to tile.
template <class T, int vectors>
struct TileShape {
  static constexpr int columns = vectors * kVectorLanes<T>, rows = vectors == 1 ? 8 : 6;
  static constexpr std::int64_t inner = 16384 / (columns * static_cast<std::int64_t>(sizeof(T)));
};

// From and to any address. Through a vector type with the alignment of an element Clang 14 makes loads that
// need more.
template <class T>
MP_INLINE void load(const T* from, Vector<T>& to) {
  std::memcpy(&to, from, sizeof(to));
}
template <class T>
MP_INLINE void store(const Vector<T>& from, T* to) {
  std::memcpy(to, &from, sizeof(from));
}

/// out[r][0 .. columns) (+)= sum over i < k of source[rows[r] + inner[i]] * b[i][0 .. columns).
template <class T, int vectors, int rows>
HWY_ATTR void tile(const T* source, const std::int64_t* row_offsets, const std::int64_t* inner,
                   std::int64_t k, const T* b, T* out, bool accumulate) {
  constexpr int lanes = kVectorLanes<T>;
  Vector<T> sum[rows][vectors] = {};
  const T* row[rows];
  for (int r = 0; r < rows; ++r) row[r] = source + row_offsets[r];
  if (accumulate)
    for (int r = 0; r < rows; ++r)
      for (int v = 0; v < vectors; ++v) load(out + (vectors * r + v) * lanes, sum[r][v]);
  for (std::int64_t i = 0; i < k; ++i, b += vectors * lanes) {
    const std::int64_t offset = inner[i];
    Vector<T> factor[vectors];
    for (int v = 0; v < vectors; ++v) load(b + v * lanes, factor[v]);
    for (int r = 0; r < rows; ++r) {
      const T value = row[r][offset];
      for (int v = 0; v < vectors; ++v) sum[r][v] += value * factor[v];
    }
  }
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v) store(sum[r][v], out + (vectors * r + v) * lanes);
}

/// The same for any number of rows, cut into tiles of nearly equal height.
template <class T, int vectors>
HWY_ATTR void tiles(const T* source, const std::int64_t* row_offsets, std::int64_t rows,
                    const std::int64_t* inner, std::int64_t k, const T* b, T* out, bool accumulate) {
  using Shape = TileShape<T, vectors>;
  using Tile = void (*)(const T*, const std::int64_t*, const std::int64_t*, std::int64_t, const T*, T*, bool);
  static constexpr auto by_rows = []<int... r>(std::integer_sequence<int, r...>) {
    return std::array<Tile, Shape::rows>{tile<T, vectors, r + 1>...};
  }(std::make_integer_sequence<int, Shape::rows>());
  for (std::int64_t first = 0; first < std::max<std::int64_t>(k, 1); first += Shape::inner) {
    const std::int64_t length = std::min(Shape::inner, k - first);
    std::int64_t left = (rows + Shape::rows - 1) / Shape::rows;
    for (std::int64_t done = 0; done < rows; --left) {
      const std::int64_t height = (rows - done + left - 1) / left;
      by_rows[static_cast<std::size_t>(height - 1)](source, row_offsets + done, inner + first, length,
                                                    b + first * Shape::columns, out + done * Shape::columns,
                                                    accumulate || first > 0);
      done += height;
    }
  }
}

/// to[column][row] = from[row][column], `columns` of them, of `width` in `from`.
template <int width, class T>
HWY_ATTR void transpose_out(const T* from, std::int64_t rows, int columns, T* to, std::int64_t to_stride,
                            const T* bias, int beta) {
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
template <int width, class T>
HWY_ATTR void transpose_in(const T* from, std::int64_t from_stride, int columns, std::int64_t rows, T* to) {
  for (int c = 0; c < width; ++c)
    for (std::int64_t r = 0; r < rows; ++r)
      to[r * width + c] = c < columns ? from[c * from_stride + r] : T(0);
}

}  // namespace
}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
