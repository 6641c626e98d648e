#pragma once

#include <miniparallel/error.h>

#include "kernels/cuda/device/divider.cuh"
#include "kernels/pool2d.h"

#include <algorithm>
#include <cstdint>
#include <string>

namespace miniparallel::kernels::cuda {

inline constexpr std::int64_t kTooMany = std::int64_t{1} << 30;  // elements of a plane

inline Divider divider(std::int64_t divisor) {
  return Divider(static_cast<std::uint32_t>(std::max<std::int64_t>(divisor, 1)));
}

/// PoolAxis in 32 bits, in which a GPU counts faster.
struct WindowAxis {
  int size, outputs, kernel, stride, padding;
  Divider by_stride;

  /// A stride past the array is that of a single window, whatever it is.
  explicit WindowAxis(const PoolAxis& axis)
      : size(static_cast<int>(axis.size)),
        outputs(static_cast<int>(axis.outputs)),
        kernel(static_cast<int>(axis.kernel)),
        stride(static_cast<int>(std::min(axis.stride, kTooMany))),
        padding(static_cast<int>(axis.padding)),
        by_stride(divider(stride)) {}

  /// First element of window i of a kernel.
  MP_INLINE int start(int i) const { return i * stride - padding; }
};

/// From begin up to end.
struct Range {
  int begin, end;
  MP_INLINE int count() const { return end - begin; }
};

/// [i from / to, (i + 1) from / to) with the bounds rounded outwards, for i below `to`.
MP_INLINE Range adaptive_range(int i, int from, int to) {
  if (from == 1 || to == 1) return {0, from};
  const auto range = [&](auto begin) {  // in as many bits as its numbers need: divisions are dear
    using Wide = decltype(begin);
    const auto step = static_cast<Wide>(from), divisor = static_cast<Wide>(to);
    return Range{static_cast<int>(begin / divisor), static_cast<int>((begin + step + divisor - 1) / divisor)};
  };
  const bool fits = (static_cast<std::uint64_t>(from) + 1) * static_cast<std::uint64_t>(to) < (1ull << 32);
  if (fits) return range(static_cast<std::uint32_t>(i) * static_cast<std::uint32_t>(from));
  return range(static_cast<std::uint64_t>(i) * static_cast<std::uint64_t>(from));
}

/// The elements of window i, padding included.
MP_INLINE Range window_at(const WindowAxis& axis, int i) {
  if (axis.kernel == 0) return adaptive_range(i, axis.size, axis.outputs);
  return {axis.start(i), axis.start(i) + axis.kernel};
}

/// Those that are not padding.
MP_INLINE Range inside(const WindowAxis& axis, const Range& window) {
  return {window.begin > 0 ? window.begin : 0, window.end < axis.size ? window.end : axis.size};
}

/// The windows of a kernel that hold element i.
MP_INLINE Range kernels_over(const WindowAxis& axis, int i) {
  const auto from_start = static_cast<std::uint32_t>(i + axis.padding);  // the padding's start
  std::uint32_t last = from_start, before = from_start - static_cast<std::uint32_t>(axis.kernel);
  axis.by_stride.divide(last);
  const bool has_before = from_start >= static_cast<std::uint32_t>(axis.kernel);
  axis.by_stride.divide(before);
  const int end = static_cast<int>(last) + 1;
  return {has_before ? static_cast<int>(before) + 1 : 0, end < axis.outputs ? end : axis.outputs};
}

/// A pooling as kernels see it; `height` and `width` are those of the array whose elements they write.
struct Pooling {
  WindowAxis rows, columns;
  Divider kernel_width, height, width;
  std::uint32_t elements;

  MP_INLINE std::int64_t in_plane() const { return std::int64_t{rows.size} * columns.size; }
  MP_INLINE std::int64_t out_plane() const { return std::int64_t{rows.outputs} * columns.outputs; }
};

struct Element {
  std::uint32_t plane;
  int row, column;
};

MP_INLINE Element element_at(const Pooling& pooling, std::uint32_t index) {
  Element e{index, 0, 0};
  e.column = static_cast<int>(pooling.width.divide(e.plane));
  e.row = static_cast<int>(pooling.height.divide(e.plane));
  return e;
}

// --- launches

inline void check_size(std::int64_t size) {
  if (size >= kTooMany)
    throw Error("pool2d: a plane has " + std::to_string(size) +
                " elements, the CUDA kernels take less than 2^30; split the planes");
}

/// Calls run(pooling, first plane) for parts of the planes whose threads are numbered in 31 bits. Written are
/// planes of height x width, with `lanes` threads for each element.
template <class F>
void for_each_part(const Pool2dGeometry& g, std::int64_t height, std::int64_t width, int lanes,
                   const F& run) {
  check_size(g.rows.size * g.columns.size);
  check_size(g.rows.outputs * g.columns.outputs);
  if (height * width == 0) return;
  Pooling pooling{WindowAxis(g.rows), WindowAxis(g.columns), divider(g.columns.kernel),
                  divider(height),    divider(width),        0};
  const std::int64_t most = std::max<std::int64_t>(kTooMany / (height * width * lanes), 1);
  for (std::int64_t first = 0; first < g.planes; first += most) {
    pooling.elements = static_cast<std::uint32_t>(std::min(g.planes - first, most) * height * width);
    run(pooling, first);
  }
}

}  // namespace miniparallel::kernels::cuda
