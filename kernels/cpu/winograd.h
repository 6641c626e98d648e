// The transforms of Winograd's convolution; included once per instruction set, after targets.h.

// clang-format off
#if defined(MINIPARALLEL_WINOGRAD) == defined(HWY_TARGET_TOGGLE)
#ifdef MINIPARALLEL_WINOGRAD
#undef MINIPARALLEL_WINOGRAD
#else
#define MINIPARALLEL_WINOGRAD
#endif
// clang-format on

#include "kernels/cpu/conv2d_loops.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/tile.h"

#include <hwy/cache_control.h>

#include <algorithm>
#include <cstdint>

// Convolution with kernels of 3 x 3 at stride 1 by Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray:
// "Fast algorithms for convolutional neural networks", 2015): a tile of 2 x 2 results y of the 4 x 4 inputs d
// around it is
//
//   y = A' [(G w G') . (B' d B)] A,   B' = 1  0 -1  0   G =  1   0   0    A' = 1  1  1  0
//                                          0  1  1  0       1/2  1/2 1/2       0  1 -1 -1
//                                          0 -1  1  0       1/2 -1/2 1/2
//                                          0  1  0 -1        0   0   1
//
// with 16 products for each pair of channels instead of 36. Summed over channels, each of the 16 is a matrix
// product of its own. The gradient of the data is the same with the kernels turned, the gradient of the
// kernels G' [(B' d B) . (A g A')] G. Vectors run across channels. Sums are shorter than those of the
// definition and rounding errors no larger; but an infinite input is taken from itself and makes its tile's
// results NaN.

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

constexpr int kPlaces = 16;                    // of a transformed tile
constexpr std::int64_t kTilesBytes = 1 << 17;  // of transformed tiles, which stay in the L2 cache
constexpr std::int64_t kMinTiles = 32;         // for which the transformed kernels are read
/// Elements of a cache line, added between places lest all of a tile compete for the same lines of the cache.
template <class T>
constexpr std::int64_t kApart = 64 / sizeof(T);

struct TransformedKernels;
struct Strip;
struct TransformedTiles;
struct Offsets;
struct TurnedGradients;

inline std::int64_t blocks_of(std::int64_t n, std::int64_t width) { return (n + width - 1) / width; }

/// A convolution from source to destination, either way; channels are those of a group.
struct Winograd {
  std::int64_t images, groups;
  std::int64_t channels, h, w;         ///< of the source
  std::int64_t top, left;              ///< zeros before its first row and column
  std::int64_t filters, out_h, out_w;  ///< channels and sizes of the destination

  std::int64_t tile_rows() const { return (out_h + 1) / 2; }
  std::int64_t tile_columns() const { return (out_w + 1) / 2; }
  /// Rows of tiles that are worked on together, of one image or of several.
  template <class T>
  std::int64_t rows_per_block() const {
    const std::int64_t bytes = kPlaces * channels * static_cast<std::int64_t>(sizeof(T));
    return std::max<std::int64_t>(1, std::max(kMinTiles, kTilesBytes / bytes) / tile_columns());
  }
};

inline Winograd forward_plan(const Conv2dGeometry& g) {
  return {.images = g.n,
          .groups = g.groups,
          .channels = g.in_channels / g.groups,
          .h = g.in_h,
          .w = g.in_w,
          .top = g.padding_h,
          .left = g.padding_w,
          .filters = g.out_channels / g.groups,
          .out_h = g.out_h,
          .out_w = g.out_w};
}
inline Winograd data_gradient_plan(const Conv2dGeometry& g) {
  return {.images = g.n,
          .groups = g.groups,
          .channels = g.out_channels / g.groups,
          .h = g.out_h,
          .w = g.out_w,
          .top = 2 - g.padding_h,
          .left = 2 - g.padding_w,
          .filters = g.in_channels / g.groups,
          .out_h = g.in_h,
          .out_w = g.in_w};
}

/// v = G w of a column or row of three.
template <class T>
MP_INLINE void transform_kernel(const Vector<T>& a, const Vector<T>& b, const Vector<T>& c,
                                Vector<T> (&v)[4]) {
  v[0] = a, v[1] = (a + c + b) * T(0.5), v[2] = (a + c - b) * T(0.5), v[3] = c;
}

/// The kernels of `width` filters, [tap][filter], into to: places `apart`, and in each the filters.
template <std::int64_t width, class T>
HWY_ATTR void transform_kernels(const T (&w)[9][width], T* to, std::int64_t apart) {
  for (std::int64_t k = 0; k < width; k += kVectorLanes<T>) {
    Vector<T> rows[3][4];
    MP_WRITE_OUT
    for (int i = 0; i < 3; ++i) {
      Vector<T> in[3];
      MP_WRITE_OUT
      for (int j = 0; j < 3; ++j) load(w[3 * i + j] + k, in[j]);
      transform_kernel<T>(in[0], in[1], in[2], rows[i]);
    }
    MP_WRITE_OUT
    for (int j = 0; j < 4; ++j) {
      Vector<T> v[4];
      transform_kernel<T>(rows[0][j], rows[1][j], rows[2][j], v);
      MP_WRITE_OUT
      for (int i = 0; i < 4; ++i) store(v[i], to + (4 * i + j) * apart + k);
    }
  }
}

/// The transformed kernels, [group][block][place][channel][filter]: a block is `width` filters.
template <std::int64_t width, class T>
const T* transform_all_kernels(const Winograd& plan, const T* weight, bool turned) {
  const std::int64_t blocks = blocks_of(plan.filters, width), size = kPlaces * plan.channels * width;
  T* const to = scratch<TransformedKernels, T>(plan.groups * blocks * size);
  const std::int64_t of_group = plan.channels * plan.filters * 9;
  const std::int64_t of_filter = turned ? 9 : plan.channels * 9, of_channel = turned ? plan.filters * 9 : 9;
  parallel_for(plan.groups * blocks * plan.channels, conv2d_grain(kPlaces * width * 4),
               [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
                 for (std::int64_t i = begin; i < end; ++i) {
                   const std::int64_t block = i / plan.channels, channel = i % plan.channels;
                   const std::int64_t first = block % blocks * width;
                   const T* from =
                       weight + block / blocks * of_group + first * of_filter + channel * of_channel;
                   T w[9][width] = {};
                   for (std::int64_t k = 0; k < std::min(width, plan.filters - first); ++k, from += of_filter)
                     for (int tap = 0; tap < 9; ++tap) w[tap][k] = from[turned ? 8 - tap : tap];
                   transform_kernels(w, to + block * size + channel * width, plan.channels * width);
                 }
               });
  return to;
}

/// The images' rows that tiles are made of, with channels innermost: the last four, in blocks of channels,
/// [row % 4][block][column][lane], with the border.
template <class T>
class SourceRows {
 public:
  static constexpr std::int64_t lanes = kVectorLanes<T>;

  HWY_ATTR SourceRows(const Winograd& plan, const T* source)
      : plan_(plan),
        source_(source),
        blocks_(blocks_of(plan.channels, lanes)),
        width_(2 * plan.tile_columns() + 2),
        size_(blocks_ * width_ * lanes),
        rows_(scratch<Strip, T>(4 * size_)) {
    std::fill_n(rows_, 4 * size_, T(0));
  }

  /// Writes a row of transformed tiles to v, [place][block][tile][lane], where places are `place` and blocks
  /// `block` apart. part: image and group.
  HWY_ATTR void transform(std::int64_t part, std::int64_t tile_row, T* v, std::int64_t place,
                          std::int64_t block) {
    const std::int64_t first = 2 * tile_row;
    const bool next = part == part_ && first == first_ + 2;
    for (std::int64_t row = next ? first + 2 : first; row < first + 4; ++row) read(part, row);
    part_ = part, first_ = first;
    const T* rows[4];
    for (int i = 0; i < 4; ++i) rows[i] = slot(first + i);
    for (std::int64_t b = 0; b < blocks_; ++b)
      transform_block(rows, b * width_ * lanes, v + b * block, place);
  }

 private:
  T* slot(std::int64_t row) const { return rows_ + row % 4 * size_; }

  HWY_ATTR void read(std::int64_t part, std::int64_t row) {
    T* const to = slot(row);
    const std::int64_t from = row - plan_.top;
    if (from < 0 || from >= plan_.h) {
      std::fill_n(to, size_, T(0));
      return;
    }
    const std::int64_t plane = plan_.h * plan_.w, count = std::min(plan_.w, width_ - plan_.left);
    // The row after next, of each channel elsewhere, which the processor does not foresee.
    for (std::int64_t c = 0; c < plan_.channels && from + 2 < plan_.h; ++c)
      for (std::int64_t i = 0; i < count; i += kApart<T>)
        hwy::Prefetch(source_ + ((part * plan_.channels + c) * plan_.h + from + 2) * plan_.w + i);
    for (std::int64_t b = 0; b < blocks_; ++b)
      transpose_in<static_cast<int>(lanes)>(
          source_ + (part * plan_.channels + b * lanes) * plane + from * plan_.w, plane,
          static_cast<int>(std::min(lanes, plan_.channels - b * lanes)), count,
          to + (b * width_ + plan_.left) * lanes);
  }

  HWY_ATTR void transform_block(const T* const (&rows)[4], std::int64_t at, T* v, std::int64_t place) const {
    Vector<T> d[4][4];  // B' times the inputs
    const auto column = [&](std::int64_t x, int j) HWY_ATTR __attribute__((always_inline)) {
      Vector<T> in[4];
      MP_WRITE_OUT
      for (int i = 0; i < 4; ++i) load(rows[i] + at + x * lanes, in[i]);
      d[0][j] = in[0] - in[2], d[1][j] = in[1] + in[2], d[2][j] = in[2] - in[1], d[3][j] = in[1] - in[3];
    };
    column(0, 0), column(1, 1);
    for (std::int64_t x = 2; x < width_; x += 2, v += lanes) {
      column(x, 2), column(x + 1, 3);
      MP_WRITE_OUT
      for (int i = 0; i < 4; ++i) {
        T* const to = v + 4 * i * place;
        store(d[i][0] - d[i][2], to);
        store(d[i][1] + d[i][2], to + place);
        store(d[i][2] - d[i][1], to + 2 * place);
        store(d[i][1] - d[i][3], to + 3 * place);
        d[i][0] = d[i][2], d[i][1] = d[i][3];
      }
    }
  }

  const Winograd& plan_;
  const T* source_;
  std::int64_t blocks_, width_, size_;
  T* rows_;
  std::int64_t part_ = -1, first_ = -1;
};

/// Rows of tiles, transformed: element of_tile[t] + of_channel[c] of each place, which are `place` apart.
template <class T>
struct TransformedRows {
  std::int64_t tiles, place;
  T* v;
  const std::int64_t *of_tile, *of_channel;
};

/// Rows [begin, end), numbered through the images. Valid until the thread's next call.
template <class T>
HWY_ATTR TransformedRows<T> transform_rows(const Winograd& plan, SourceRows<T>& rows, std::int64_t group,
                                           std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t lanes = kVectorLanes<T>;
  const std::int64_t columns = plan.tile_columns(), tiles = (end - begin) * columns, block = tiles * lanes;
  const std::int64_t place = blocks_of(plan.channels, lanes) * block + kApart<T>;
  T* const v = scratch<TransformedTiles, T>(kPlaces * place);
  for (std::int64_t row = begin; row < end; ++row)
    rows.transform(row / plan.tile_rows() * plan.groups + group, row % plan.tile_rows(),
                   v + (row - begin) * columns * lanes, place, block);
  std::int64_t* const offsets = scratch<Offsets, std::int64_t>(tiles + plan.channels);
  for (std::int64_t t = 0; t < tiles; ++t) offsets[t] = t * lanes;
  for (std::int64_t c = 0; c < plan.channels; ++c) offsets[tiles + c] = c / lanes * block + c % lanes;
  return {.tiles = tiles, .place = place, .v = v, .of_tile = offsets, .of_channel = offsets + tiles};
}

/// A' m of a row or column of four.
template <class V>
MP_INLINE void transform_result(const V& a, const V& b, const V& c, const V& d, V& first, V& second) {
  first = a + b + c;
  second = b - c - d;
}

/// Elements between tiles of m, [tile][place][filter].
template <int width, class T>
constexpr std::int64_t kProductsOfTile = kPlaces * width + kApart<T>;

/// Two rows of results, [row][column][filter], of a row of tiles.
template <int vectors, class T>
HWY_ATTR void transform_results(std::int64_t tiles, const T* m, T* results) {
  constexpr int lanes = kVectorLanes<T>, width = vectors * lanes;
  for (std::int64_t t = 0; t < tiles; ++t, m += kProductsOfTile<width, T>)
    for (int k = 0; k < width; k += lanes) {
      Vector<T> half[2][4], y[2];
      MP_WRITE_OUT
      for (int j = 0; j < 4; ++j) {
        Vector<T> in[4];
        MP_WRITE_OUT
        for (int i = 0; i < 4; ++i) load(m + (4 * i + j) * width + k, in[i]);
        transform_result(in[0], in[1], in[2], in[3], half[0][j], half[1][j]);
      }
      MP_WRITE_OUT
      for (int i = 0; i < 2; ++i) {
        transform_result(half[i][0], half[i][1], half[i][2], half[i][3], y[0], y[1]);
        T* const to = results + (i * tiles + t) * 2 * width + k;
        store(y[0], to);
        store(y[1], to + width);
      }
    }
}

/// q = A g A' of a row of tiles, [place][tile][filter], where places are `place` apart; the sums of g are
/// added to `total`. g: of the first of the filters.
template <int vectors, class T>
HWY_ATTR void transform_gradients(const Winograd& plan, const T* g, std::int64_t row, int filters, T* q,
                                  std::int64_t place, T* total) {
  constexpr int width = TileShape<T, vectors>::columns;
  constexpr std::int64_t lanes = kVectorLanes<T>;
  const std::int64_t columns = plan.tile_columns(), plane = plan.out_h * plan.out_w;
  T* const turned = scratch<TurnedGradients, T>(4 * columns * width);
  std::fill_n(turned, 4 * columns * width, T(0));
  for (std::int64_t i = 0; i < std::min<std::int64_t>(2, plan.out_h - 2 * row); ++i)
    transpose_in<width>(g + (2 * row + i) * plan.out_w, plane, filters, plan.out_w,
                        turned + i * 2 * columns * width);
  for (std::int64_t k = 0; k < width; k += lanes) {
    Vector<T> sum;
    load(total + k, sum);
    for (std::int64_t t = 0; t < columns; ++t) {
      const T* const from = turned + 2 * t * width + k;
      Vector<T> in[2][2], d[4][2];
      MP_WRITE_OUT
      for (int j = 0; j < 2; ++j) {
        load(from + j * width, in[0][j]);
        load(from + (2 * columns + j) * width, in[1][j]);
        d[0][j] = in[0][j], d[1][j] = in[0][j] + in[1][j], d[2][j] = in[0][j] - in[1][j], d[3][j] = -in[1][j];
        sum += d[1][j];
      }
      T* const to = q + t * width + k;
      MP_WRITE_OUT
      for (int i = 0; i < 4; ++i) {
        store(d[i][0], to + 4 * i * place);
        store(d[i][0] + d[i][1], to + (4 * i + 1) * place);
        store(d[i][0] - d[i][1], to + (4 * i + 2) * place);
        store(-d[i][1], to + (4 * i + 3) * place);
      }
    }
    store(sum, total + k);
  }
}

/// w = G' p of a column or row of four.
template <class T>
MP_INLINE void transform_sums(const Vector<T>& a, const Vector<T>& b, const Vector<T>& c, const Vector<T>& d,
                              Vector<T> (&w)[3]) {
  w[0] = a + (b + c) * T(0.5), w[1] = (b - c) * T(0.5), w[2] = (b + c) * T(0.5) + d;
}

/// The gradients of the kernels of `width` filters, [tap][filter].
template <std::int64_t width, class T>
HWY_ATTR void transform_sums(const T (&sums)[kPlaces][width], T (&w)[9][width]) {
  for (std::int64_t k = 0; k < width; k += kVectorLanes<T>) {
    Vector<T> rows[4][3];
    MP_WRITE_OUT
    for (int i = 0; i < 4; ++i) {
      Vector<T> in[4];
      MP_WRITE_OUT
      for (int j = 0; j < 4; ++j) load(sums[4 * i + j] + k, in[j]);
      transform_sums<T>(in[0], in[1], in[2], in[3], rows[i]);
    }
    MP_WRITE_OUT
    for (int j = 0; j < 3; ++j) {
      Vector<T> column[3];
      transform_sums<T>(rows[0][j], rows[1][j], rows[2][j], rows[3][j], column);
      MP_WRITE_OUT
      for (int i = 0; i < 3; ++i) store(column[i], w[3 * i + j] + k);
    }
  }
}

}  // namespace
}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
