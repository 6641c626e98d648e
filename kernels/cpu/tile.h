// The inner loop of convolutions and of attention; included once per instruction set, after targets.h.

// clang-format off
#if defined(MINIPARALLEL_TILE) == defined(HWY_TARGET_TOGGLE)
#ifdef MINIPARALLEL_TILE
#undef MINIPARALLEL_TILE
#else
#define MINIPARALLEL_TILE
#endif
// clang-format on

#include "kernels/cpu/start.h"

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
/// FMA, in at most three quarters of the registers; `inner` rows of b stay in the L1 cache from tile to tile.
template <class T, int vectors>
struct TileShape {
  static constexpr int columns = vectors * kVectorLanes<T>,
                       rows = vectors == 1 || HWY_TARGET == HWY_AVX3 ? 8 : 6;
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

/// Rows of out, `stride` apart, = those of start + the sums over i < k of source[row[r] + inner[i]] *
/// b[i][0 .. columns).
template <class T, int vectors, int rows, class Offsets>
HWY_ATTR void tile(const T* source, Offsets row_offsets, Offsets inner, std::int64_t k, const T* b, T* out,
                   std::int64_t stride, Start<T> start) {
  constexpr int lanes = kVectorLanes<T>;
  Vector<T> sum[rows][vectors] = {};
  const T* row[rows];
  MP_WRITE_OUT
  for (int r = 0; r < rows; ++r) row[r] = source + row_offsets[r];
  if (start.data != nullptr) {
    MP_WRITE_OUT
    for (int r = 0; r < rows; ++r) MP_WRITE_OUT
    for (int v = 0; v < vectors; ++v) load(start.data + r * start.stride + v * lanes, sum[r][v]);
  }
  for (std::int64_t i = 0; i < k; ++i, b += vectors * lanes) {
    const std::int64_t offset = inner[i];
    Vector<T> factor[vectors];
    MP_WRITE_OUT
    for (int v = 0; v < vectors; ++v) load(b + v * lanes, factor[v]);
    MP_WRITE_OUT
    for (int r = 0; r < rows; ++r) {
      const T value = row[r][offset];
      MP_WRITE_OUT
      for (int v = 0; v < vectors; ++v) sum[r][v] += value * factor[v];
    }
  }
  MP_WRITE_OUT
  for (int r = 0; r < rows; ++r) MP_WRITE_OUT
  for (int v = 0; v < vectors; ++v) store(sum[r][v], out + r * stride + v * lanes);
}

/// The same for as many rows as a tile has at most.
template <class T, int vectors, class Offsets, class... Rest>
MP_INLINE void tile_of(std::int64_t rows, const T* source, Rest... rest) {
  using Tile = void (*)(const T*, Offsets, Offsets, std::int64_t, const T*, T*, std::int64_t, Start<T>);
  static constexpr auto by_rows = []<int... r>(std::integer_sequence<int, r...>) {
    return std::array<Tile, sizeof...(r)>{tile<T, vectors, r + 1, Offsets>...};
  }(std::make_integer_sequence<int, TileShape<T, vectors>::rows>());
  by_rows[static_cast<std::size_t>(rows - 1)](source, rest...);
}

/// Calls f(first, height) for the tiles that `rows` are cut into, of nearly equal height, `most` at most.
template <class F>
MP_INLINE void for_each_tile(std::int64_t rows, std::int64_t most, const F& f) {
  std::int64_t left = (rows + most - 1) / most;
  for (std::int64_t done = 0, height; done < rows; done += height, --left) {
    height = (rows - done + left - 1) / left;
    f(done, height);
  }
}

/// tile of any number of rows, which begins with out or with zeros.
template <class T, int vectors>
HWY_ATTR void tiles(const T* source, const std::int64_t* row_offsets, std::int64_t rows,
                    const std::int64_t* inner, std::int64_t k, const T* b, T* out, std::int64_t stride,
                    bool accumulate) {
  using Shape = TileShape<T, vectors>;
  constexpr std::int64_t width = Shape::columns;
  for (std::int64_t first = 0; first < std::max<std::int64_t>(k, 1); first += Shape::inner)
    for_each_tile(rows, Shape::rows, [&](std::int64_t done, std::int64_t height) HWY_ATTR {
      T* const to = out + done * stride;
      tile_of<T, vectors, const std::int64_t*>(
          height, source, row_offsets + done, inner + first, std::min(Shape::inner, k - first),
          b + first * width, to, stride, accumulate || first > 0 ? Start<T>{to, stride} : Start<T>{});
    });
}

namespace hn = hwy::HWY_NAMESPACE;

/// A row of a square of elements that is turned in registers.
template <class T>
using SquareTag = hn::CappedTag<T, 32 / sizeof(T)>;
template <class T>
constexpr std::int64_t kSquare = hn::MaxLanes(SquareTag<T>());

#if HWY_TARGET == HWY_SCALAR
template <class T, class Use>
HWY_ATTR MP_INLINE void turn_square(const T* from, std::int64_t, const Use& use) {
  use(0, hn::LoadU(SquareTag<T>(), from));
}
#else
/// Rows of 16 bytes: element j of row i becomes element i of row j, in each 16 bytes of longer vectors.
template <class D, class V>
MP_INLINE void turn_blocks(D d, V (&rows)[2]) {
  const V first = rows[0];
  rows[0] = hn::InterleaveLower(d, first, rows[1]);
  rows[1] = hn::InterleaveUpper(d, first, rows[1]);
}
template <class D, class V>
MP_INLINE void turn_blocks(D d, V (&rows)[4]) {
  const hn::RepartitionToWide<D> pairs;
  const auto a = hn::BitCast(pairs, hn::InterleaveLower(d, rows[0], rows[1]));
  const auto b = hn::BitCast(pairs, hn::InterleaveLower(d, rows[2], rows[3]));
  const auto c = hn::BitCast(pairs, hn::InterleaveUpper(d, rows[0], rows[1]));
  const auto e = hn::BitCast(pairs, hn::InterleaveUpper(d, rows[2], rows[3]));
  rows[0] = hn::BitCast(d, hn::InterleaveLower(pairs, a, b));
  rows[1] = hn::BitCast(d, hn::InterleaveUpper(pairs, a, b));
  rows[2] = hn::BitCast(d, hn::InterleaveLower(pairs, c, e));
  rows[3] = hn::BitCast(d, hn::InterleaveUpper(pairs, c, e));
}

/// Calls use(j, column j) for each column of a square, whose rows are `stride` apart.
template <class T, class Use>
HWY_ATTR MP_INLINE void turn_square(const T* from, std::int64_t stride, const Use& use) {
  constexpr std::int64_t block = 16 / sizeof(T), blocks = kSquare<T> / block;
  const SquareTag<T> d;
  hn::Vec<SquareTag<T>> rows[blocks][block];
  MP_WRITE_OUT
  for (std::int64_t i = 0; i < blocks; ++i) {
    MP_WRITE_OUT
    for (std::int64_t k = 0; k < block; ++k) rows[i][k] = hn::LoadU(d, from + (i * block + k) * stride);
    turn_blocks(d, rows[i]);
  }
  MP_WRITE_OUT
  for (std::int64_t k = 0; k < block; ++k)
    if constexpr (blocks == 1) {
      use(k, rows[0][k]);
    } else {
      use(k, hn::ConcatLowerLower(d, rows[1][k], rows[0][k]));
      use(block + k, hn::ConcatUpperUpper(d, rows[1][k], rows[0][k]));
    }
}
#endif

/// Calls square(row, column) for the squares of a matrix, one(row, column) for the elements that are left.
template <class T, class Square, class One>
HWY_ATTR MP_INLINE void for_each_square(std::int64_t rows, std::int64_t columns, const Square& square,
                                        const One& one) {
  constexpr std::int64_t side = kSquare<T>;
  const std::int64_t whole_columns = columns / side * side;
  std::int64_t r = 0;
  for (; r + side <= rows; r += side) {
    for (std::int64_t c = 0; c < whole_columns; c += side) square(r, c);
    for (std::int64_t k = r; whole_columns < columns && k < r + side; ++k)
      for (std::int64_t c = whole_columns; c < columns; ++c) one(k, c);
  }
  for (; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) one(r, c);
}

/// to[column][row] (+)= bias[column] + from[row][column], `columns` of them, of `width` in `from`.
template <int width, class T>
HWY_ATTR void transpose_out(const T* from, std::int64_t rows, int columns, T* to, std::int64_t to_stride,
                            const T* bias, int beta) {
  const auto one = [&](std::int64_t c, std::int64_t r) HWY_ATTR {
    T& target = to[c * to_stride + r];
    const T value = (bias == nullptr ? T(0) : bias[c]) + from[r * width + c];
    target = beta == 0 ? value : target + value;
  };
  const auto square = [&](std::int64_t c, std::int64_t r) HWY_ATTR {
    const SquareTag<T> d;
    turn_square(from + r * width + c, width, [&](std::int64_t k, auto values) HWY_ATTR {
      T* const target = to + (c + k) * to_stride + r;
      if (bias != nullptr) values = hn::Add(hn::Set(d, bias[c + k]), values);
      if (beta != 0) values = hn::Add(hn::LoadU(d, target), values);
      hn::StoreU(values, d, target);
    });
  };
  for_each_square<T>(columns, rows, square, one);  // each row of `to` as one, lest it leave the cache
}

/// to[row][column] = from[column][row], zero for columns past `columns`.
template <int width, class T>
HWY_ATTR void transpose_in(const T* from, std::int64_t from_stride, int columns, std::int64_t rows, T* to) {
  if (columns < width) std::fill_n(to, rows * width, T(0));
  const auto one = [&](std::int64_t c, std::int64_t r)
                       HWY_ATTR { to[r * width + c] = from[c * from_stride + r]; };
  const auto square = [&](std::int64_t c, std::int64_t r) HWY_ATTR {
    turn_square(from + c * from_stride + r, from_stride, [&](std::int64_t k, const auto& values) HWY_ATTR {
      hn::StoreU(values, SquareTag<T>(), to + (r + k) * width + c);
    });
  };
  for_each_square<T>(columns, rows, square, one);
}

}  // namespace
}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
