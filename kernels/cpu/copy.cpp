#include "kernels/cpu/copy.h"

#include "kernels/copy_plan.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/short_rows.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/copy.cpp"
#include "kernels/cpu/targets.h"
// After targets.h, once per instruction set:
#include "kernels/cpu/tile.h"

#ifndef MP_COPY_TABLE
#define MP_COPY_TABLE
namespace miniparallel::kernels::cpu {

struct alignas(16) Word16 {
  std::uint64_t halves[2];
};

/// Rows and columns of a tile that is turned: 16 KiB at most, half of an L1 cache.
constexpr std::int64_t tile_of_words(std::int64_t bytes) { return bytes > 4 ? 32 : 64; }

/// Of words of one size.
struct CopyLoops {
  CopyRow row;
  CopyBackwards backwards;
  /// Turns a tile, to[i][j] = from[j][i]: to, the words between its rows, from, the same, how many i, j.
  void (*turn)(void*, std::int64_t, const void*, std::int64_t, std::int64_t, std::int64_t);
};
struct AllCopyLoops {
  CopyLoops of_1, of_2, of_4, of_8, of_16;
};

}  // namespace miniparallel::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

/// From 2112 bytes on a memcpy may be one string instruction, which on AMD's Zen 3 takes eight times as long
/// where the target lies a few bytes behind the source, counted within pages: then in pieces.
HWY_ATTR void copy_bytes(void* to, const void* from, std::size_t bytes) {
  const std::uintptr_t behind = reinterpret_cast<std::uintptr_t>(to) - reinterpret_cast<std::uintptr_t>(from);
  const std::size_t piece = behind % 4096 != 0 && behind % 4096 < 64 ? 2048 : bytes;
  for (std::size_t done = 0, n; done < bytes; done += n) {
    n = std::min(bytes - done, piece);
    std::memcpy(static_cast<std::byte*>(to) + done, static_cast<const std::byte*>(from) + done, n);
  }
}

template <class T>
HWY_ATTR void copy_row(void* to, std::int64_t to_stride, const void* from, std::int64_t from_stride,
                       std::int64_t n) {
  T* target = static_cast<T*>(to);
  const T* source = static_cast<const T*>(from);
  if (from_stride == 0 && to_stride == 1) {
    const T word = *source;
    for (std::int64_t i = 0; i < n; ++i) target[i] = word;
  } else if (from_stride == 1 && to_stride == 1) {
    copy_bytes(to, from, static_cast<std::size_t>(n) * sizeof(T));
  } else {
    for (std::int64_t i = 0; i < n; ++i) target[i * to_stride] = source[i * from_stride];
  }
}

template <class T>
HWY_ATTR void copy_backwards(void* to, const void* from, std::int64_t n) {
  T* target = static_cast<T*>(to);
  const T* source = static_cast<const T*>(from);
  MP_IVDEP
  for (std::int64_t i = 0; i < n; ++i) target[n - 1 - i] = source[i];  // what is read ahead is upwards
}

template <class T>
HWY_ATTR void turn(void* to, std::int64_t to_stride, const void* from, std::int64_t from_stride,
                   std::int64_t height, std::int64_t width) {
  constexpr std::int64_t tile = tile_of_words(sizeof(T));
  const T* const source = static_cast<const T*>(from);
  T turned[tile * tile];
  if constexpr (sizeof(T) == 4 || sizeof(T) == 8) {
    transpose_in<tile>(source, from_stride, static_cast<int>(width), height, turned);
  } else {
    for (std::int64_t j = 0; j < width; ++j)
      for (std::int64_t i = 0; i < height; ++i) turned[i * tile + j] = source[j * from_stride + i];
  }
  for (std::int64_t i = 0; i < height; ++i)
    std::memcpy(static_cast<T*>(to) + i * to_stride, turned + i * tile,
                static_cast<std::size_t>(width) * sizeof(T));
}

template <class T>
constexpr CopyLoops loops_of{copy_row<T>, copy_backwards<T>, turn<T>};

}  // namespace

const AllCopyLoops& copy_loops() {
  static constexpr AllCopyLoops loops{loops_of<std::uint8_t>, loops_of<std::uint16_t>,
                                      loops_of<std::uint32_t>, loops_of<std::uint64_t>, loops_of<Word16>};
  return loops;
}

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {
namespace {

MP_DISPATCH(AllCopyLoops, copy_loops)

constexpr std::int64_t kGrain = 65536;       // bytes per thread at least: some 10 us of memory traffic
constexpr std::int64_t kSmallestMatrix = 8;  // rows and columns from which tiles pay
constexpr std::int64_t kBlock = 1024;        // words that the L1 cache keeps while a few are taken at a time

const CopyLoops& loops_for(std::size_t bytes) {
  const AllCopyLoops& all = copy_loops();
  return bytes == 1   ? all.of_1
         : bytes == 2 ? all.of_2
         : bytes == 4 ? all.of_4
         : bytes == 8 ? all.of_8
                      : all.of_16;
}

/// Adds the place of `index`, counted in row-major order over the first `dims` dimensions, to the offsets.
void locate(const Layout& layout, int dims, int left_out, std::int64_t index, std::int64_t (&offsets)[2]) {
  for (int d = dims - 1; d >= 0; --d) {
    if (d == left_out) continue;
    const std::int64_t i = index % layout.sizes[d];
    index /= layout.sizes[d];
    for (int k = 0; k < 2; ++k) offsets[k] += i * layout.strides[k][d];
  }
}

void copy_array(std::int64_t bytes, const ElementwiseArgs& args) {
  std::byte* const y = static_cast<std::byte*>(args.operands[0]);
  const std::byte* const x = static_cast<const std::byte*>(args.operands[1]);
  const CopyRow bytes_loop = copy_row_for(1);
  parallel_for(bytes, kGrain, [&](std::int64_t begin, std::int64_t end) {
    bytes_loop(y + begin, 1, x + begin, 1, end - begin);
  });
}

/// Row by row of the last dimension.
void copy_rows(const CopyPlan& plan) {
  const Layout& layout = plan.args.layout;
  const int last = layout.rank - 1;
  const std::int64_t row = last < 0 ? 1 : layout.sizes[last];
  const std::int64_t y_stride = last < 0 ? 1 : layout.strides[0][last];
  const std::int64_t x_stride = last < 0 ? 1 : layout.strides[1][last];
  const CopyRow copy_part = copy_row_for(static_cast<std::size_t>(plan.word));
  parallel_for(layout.numel(), kGrain / plan.word, [&](std::int64_t begin, std::int64_t end) {
    while (begin < end) {
      const std::int64_t column = begin % row, n = std::min(end - begin, row - column);
      std::int64_t offsets[2] = {column * y_stride, column * x_stride};
      locate(layout, last, -1, begin / row, offsets);
      copy_part(static_cast<std::byte*>(plan.args.operands[0]) + offsets[0] * plan.word, y_stride,
                static_cast<const std::byte*>(plan.args.operands[1]) + offsets[1] * plan.word, x_stride, n);
      begin += n;
    }
  });
}

/// Short rows, as many at once as a block holds.
void copy_short_rows(const CopyPlan& plan) {
  const Layout& layout = plan.args.layout;
  const int last = layout.rank - 1;
  const std::int64_t row = layout.sizes[last], block = kBlock / row;
  const CopyRow copy = copy_row_for(static_cast<std::size_t>(plan.word));
  const auto matrix = [&](int k, std::int64_t offset) {
    return Matrix{static_cast<std::byte*>(plan.args.operands[k]) + offset * plan.word, plan.word,
                  layout.strides[k][last - 1], layout.strides[k][last]};
  };
  parallel_for(layout.numel() / row, std::max<std::int64_t>(kGrain / (plan.word * row), 1),
               [&](std::int64_t begin, std::int64_t end) {
                 for (; begin < end; begin += block)
                   for_each_run_of_rows(layout, begin, std::min(end, begin + block),
                                        [&](const std::int64_t* offsets, std::int64_t, std::int64_t count) {
                                          copy_matrix(copy, matrix(0, offsets[0]), matrix(1, offsets[1]),
                                                      count, row);
                                        });
               });
}

/// y, contiguous along its columns, of x, contiguous along its rows, tile by tile: each line of the cache is
/// read once and written once, however far apart the rows and columns are.
void transpose(const CopyPlan& plan) {
  const std::int64_t tile = tile_of_words(plan.word);
  const Layout& layout = plan.args.layout;
  const int last = layout.rank - 1;
  const std::int64_t rows = layout.sizes[plan.across], columns = layout.sizes[last];
  const std::int64_t y_stride = layout.strides[0][plan.across], x_stride = layout.strides[1][last];
  const std::int64_t row_tiles = (rows + tile - 1) / tile, column_tiles = (columns + tile - 1) / tile;
  const std::int64_t matrices = layout.numel() / (rows * columns);
  const auto turn = loops_for(static_cast<std::size_t>(plan.word)).turn;
  parallel_for(matrices * row_tiles * column_tiles, kGrain / (tile * tile * plan.word),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t index = begin; index < end; ++index) {
                   const std::int64_t row = index % row_tiles * tile;
                   const std::int64_t column = index / row_tiles % column_tiles * tile;
                   std::int64_t offsets[2] = {row * y_stride + column, row + column * x_stride};
                   locate(layout, last, plan.across, index / (row_tiles * column_tiles), offsets);
                   turn(static_cast<std::byte*>(plan.args.operands[0]) + offsets[0] * plan.word, y_stride,
                        static_cast<const std::byte*>(plan.args.operands[1]) + offsets[1] * plan.word,
                        x_stride, std::min(tile, rows - row), std::min(tile, columns - column));
                 }
               });
}

}  // namespace

CopyRow copy_row_for(std::size_t bytes) { return loops_for(bytes).row; }

CopyBackwards copy_backwards_for(std::size_t bytes) { return loops_for(bytes).backwards; }

void copy(std::size_t bytes, const ElementwiseArgs& args) {
  if (args.layout.numel() == 0) return;
  if (args.layout.contiguous())
    return copy_array(args.layout.numel() * static_cast<std::int64_t>(bytes), args);
  const CopyPlan plan(args, bytes);
  const Layout& layout = plan.args.layout;
  if (plan.across < 0 || layout.sizes[plan.across] < kSmallestMatrix ||
      layout.sizes[layout.rank - 1] < kSmallestMatrix)
    return has_short_rows(layout) ? copy_short_rows(plan) : copy_rows(plan);
  transpose(plan);
}

}  // namespace miniparallel::kernels::cpu
#endif
