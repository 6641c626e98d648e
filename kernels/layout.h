#pragma once

#include <miniparallel/shape.h>

#include "kernels/macros.h"

#include <cstdint>
#include <initializer_list>
#include <span>

namespace miniparallel::kernels {

inline constexpr int kMaxOperands = 4;

/// Sizes shared by all operands of a call and each operand's strides, in elements; operand 0 is the output.
/// Dimensions of size 1 are dropped and neighbours that every operand steps through evenly are merged: plain
/// arrays have rank 1.
struct Layout {
  int rank = 0;
  int operands = 0;
  std::int64_t sizes[kMaxRank] = {};
  std::int64_t strides[kMaxOperands][kMaxRank] = {};

  std::int64_t numel() const;
  /// At most one dimension, stride 1 for every operand.
  bool contiguous() const;
};

/// `strides`: one Shape of shape.rank() strides per operand, 0 where the operand repeats.
Layout make_layout(const Shape& shape, std::span<const Shape> strides);
inline Layout make_layout(const Shape& shape, std::initializer_list<Shape> strides) {
  return make_layout(shape, std::span(strides.begin(), strides.size()));
}

/// Offset of element `index`, counted in row-major order, of operand 0.
MP_INLINE std::int64_t offset_of(const Layout& layout, std::int64_t index) {
  if (layout.rank == 0) return 0;
  std::int64_t offset = 0;
  for (int d = layout.rank - 1; d > 0; --d) {
    offset += index % layout.sizes[d] * layout.strides[0][d];
    index /= layout.sizes[d];
  }
  return offset + index * layout.strides[0][0];
}

}  // namespace miniparallel::kernels
