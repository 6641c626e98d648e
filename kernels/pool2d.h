#pragma once

#include <miniparallel/dtype.h>

#include "kernels/destination.h"
#include "kernels/macros.h"
#include "kernels/sizes.h"
#include "kernels/stream.h"

#include <cstdint>

namespace miniparallel::kernels {

/// One dimension of a pooling: outputs `outputs` windows over `size` elements. Kernel 0, of both dimensions:
/// adaptive, window i is [i size / outputs, (i + 1) size / outputs) with the bounds rounded outwards.
struct PoolAxis {
  std::int64_t size, outputs;
  std::int64_t kernel, stride, padding;

  /// First element of window i, before the array for a window that begins in the padding.
  MP_INLINE std::int64_t start(std::int64_t i) const {
    return kernel == 0 ? i * size / outputs : i * stride - padding;
  }
  /// The part of window i inside of the array.
  MP_INLINE std::int64_t begin(std::int64_t i) const { return start(i) > 0 ? start(i) : 0; }
  MP_INLINE std::int64_t end(std::int64_t i) const {
    const std::int64_t last = kernel == 0 ? ((i + 1) * size + outputs - 1) / outputs : start(i) + kernel;
    return last < size ? last : size;
  }
  /// Elements that an average over window i counts, zeros in the padding included.
  MP_INLINE std::int64_t counted(std::int64_t i) const { return kernel == 0 ? end(i) - begin(i) : kernel; }
};

/// x (planes, rows.size, columns.size) -> y (planes, rows.outputs, columns.outputs), row-major. Or, on GPUs,
/// x (planes / channels, rows.size, columns.size, channels), y and the index likewise, where the channels
/// make whole packs of 16 bytes and the index is uint8.
struct Pool2dGeometry {
  std::int64_t planes;
  PoolAxis rows, columns;
  std::int64_t channels = 0;  ///< of an image where they are innermost, else 0
};
inline Sizes sizes(const Pool2dGeometry& g) {
  return {"planes in_h in_w out_h out_w",
          {g.planes, g.rows.size, g.columns.size, g.rows.outputs, g.columns.outputs}};
}

/// Whether the next element of a window takes the place of the largest before it; a NaN does. Without a
/// branch, so that loops vectorise.
template <class T>
MP_INLINE bool replaces(T value, T best) {
  return static_cast<int>(value > best) | static_cast<int>(value != value);
}

/// Which element of each window was its maximum: its row in the window times the kernel's width plus its
/// column.
struct PoolIndex {
  void* data = nullptr;        ///< written by `max`, unless it is null, and read by the others
  DType dtype = DType::uint8;  ///< int32 for windows of more than 256 elements
};

/// dtype: float32 or float64, on GPUs float16 and bfloat16, too. Nothing may alias.
struct Pool2d {
  /// The maximum of each window; a NaN wins. `index` gets the first of equal elements, of NaNs the last.
  void (*max)(DType dtype, const Pool2dGeometry& geometry, const void* x, void* y, const PoolIndex& index,
              Stream stream);
  /// dx = beta dx + each element of g where `index` says that its maximum came from.
  void (*max_scatter)(DType dtype, const Pool2dGeometry& geometry, const void* g, const PoolIndex& index,
                      Destination dx, Stream stream);
  /// y = the elements of x that `index` names.
  void (*max_gather)(DType dtype, const Pool2dGeometry& geometry, const void* x, const PoolIndex& index,
                     void* y, Stream stream);
  /// The mean of each window.
  void (*average)(DType dtype, const Pool2dGeometry& geometry, const void* x, void* y, Stream stream);
  void (*average_backward)(DType dtype, const Pool2dGeometry& geometry, const void* g, Destination dx,
                           Stream stream);
};

/// The names of its launchers.
#define MP_POOL2D(X) \
  X(max)             \
  X(max_scatter)     \
  X(max_gather)      \
  X(average)         \
  X(average_backward)

}  // namespace miniparallel::kernels
