#include "kernels/cpu/copy.h"

#include "kernels/copy_plan.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/short_rows.h"

#include <algorithm>
#include <cstring>

namespace miniparallel::kernels::cpu {
namespace {

constexpr std::int64_t kGrain = 65536;       // bytes per thread at least: some 10 us of memory traffic
constexpr std::int64_t kSmallestMatrix = 8;  // rows and columns from which tiles pay
constexpr std::int64_t kBlock = 1024;        // words that the L1 cache keeps while a few are taken at a time

struct alignas(16) Word16 {
  std::uint64_t halves[2];
};

/// From 2112 bytes on a memcpy may be one string instruction, which on AMD's Zen 3 takes eight times as long
/// where the target lies a few bytes behind the source, counted within pages: then in pieces.
void copy_bytes(void* to, const void* from, std::size_t bytes) {
  const std::uintptr_t behind = reinterpret_cast<std::uintptr_t>(to) - reinterpret_cast<std::uintptr_t>(from);
  const std::size_t piece = behind % 4096 != 0 && behind % 4096 < 64 ? 2048 : bytes;
  for (std::size_t done = 0, n; done < bytes; done += n) {
    n = std::min(bytes - done, piece);
    std::memcpy(static_cast<std::byte*>(to) + done, static_cast<const std::byte*>(from) + done, n);
  }
}

template <class T>
void copy_row(void* to, std::int64_t to_stride, const void* from, std::int64_t from_stride, std::int64_t n) {
  T* target = static_cast<T*>(to);
  const T* source = static_cast<const T*>(from);
  if (from_stride == 0 && to_stride == 1) {
    std::fill_n(target, n, *source);
  } else if (from_stride == 1 && to_stride == 1) {
    copy_bytes(to, from, static_cast<std::size_t>(n) * sizeof(T));
  } else {
    for (std::int64_t i = 0; i < n; ++i) target[i * to_stride] = source[i * from_stride];
  }
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
  parallel_for(bytes, kGrain, [&](std::int64_t begin, std::int64_t end) {
    copy_bytes(y + begin, x + begin, static_cast<std::size_t>(end - begin));
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
template <class T>
void transpose(const CopyPlan& plan) {
  constexpr std::int64_t tile = sizeof(T) > 4 ? 32 : 64;  // 16 KiB at most: half of an L1 cache
  const Layout& layout = plan.args.layout;
  const int last = layout.rank - 1;
  const std::int64_t rows = layout.sizes[plan.across], columns = layout.sizes[last];
  const std::int64_t y_stride = layout.strides[0][plan.across], x_stride = layout.strides[1][last];
  const std::int64_t row_tiles = (rows + tile - 1) / tile, column_tiles = (columns + tile - 1) / tile;
  const std::int64_t matrices = layout.numel() / (rows * columns);
  const auto copy_tiles = [&](std::int64_t begin, std::int64_t end) {
    T turned[tile][tile];
    for (std::int64_t index = begin; index < end; ++index) {
      const std::int64_t row = index % row_tiles * tile, column = index / row_tiles % column_tiles * tile;
      const std::int64_t height = std::min(tile, rows - row), width = std::min(tile, columns - column);
      std::int64_t offsets[2] = {row * y_stride + column, row + column * x_stride};
      locate(layout, last, plan.across, index / (row_tiles * column_tiles), offsets);
      T* const y = static_cast<T*>(plan.args.operands[0]) + offsets[0];
      const T* const x = static_cast<const T*>(plan.args.operands[1]) + offsets[1];
      for (std::int64_t j = 0; j < width; ++j)
        for (std::int64_t i = 0; i < height; ++i) turned[i][j] = x[j * x_stride + i];
      for (std::int64_t i = 0; i < height; ++i)
        std::memcpy(y + i * y_stride, turned[i], static_cast<std::size_t>(width) * sizeof(T));
    }
  };
  const std::int64_t tile_bytes = tile * tile * static_cast<std::int64_t>(sizeof(T));
  parallel_for(matrices * row_tiles * column_tiles, kGrain / tile_bytes, copy_tiles);
}

}  // namespace

CopyRow copy_row_for(std::size_t bytes) {
  switch (bytes) {
    case 1:
      return copy_row<std::uint8_t>;
    case 2:
      return copy_row<std::uint16_t>;
    case 4:
      return copy_row<std::uint32_t>;
    case 8:
      return copy_row<std::uint64_t>;
    default:
      return copy_row<Word16>;
  }
}

void copy(std::size_t bytes, const ElementwiseArgs& args) {
  if (args.layout.numel() == 0) return;
  if (args.layout.contiguous())
    return copy_array(args.layout.numel() * static_cast<std::int64_t>(bytes), args);
  const CopyPlan plan(args, bytes);
  const Layout& layout = plan.args.layout;
  if (plan.across < 0 || layout.sizes[plan.across] < kSmallestMatrix ||
      layout.sizes[layout.rank - 1] < kSmallestMatrix)
    return has_short_rows(layout) ? copy_short_rows(plan) : copy_rows(plan);
  switch (plan.word) {
    case 1:
      return transpose<std::uint8_t>(plan);
    case 2:
      return transpose<std::uint16_t>(plan);
    case 4:
      return transpose<std::uint32_t>(plan);
    case 8:
      return transpose<std::uint64_t>(plan);
    default:
      return transpose<Word16>(plan);
  }
}

}  // namespace miniparallel::kernels::cpu
