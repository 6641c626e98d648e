#include "kernels/layout.h"

namespace miniparallel::kernels {

std::int64_t Layout::numel() const {
  std::int64_t n = 1;
  for (int d = 0; d < rank; ++d) n *= sizes[d];
  return n;
}

bool Layout::contiguous() const {
  if (rank == 0) return true;
  if (rank > 1) return false;
  for (int k = 0; k < operands; ++k)
    if (strides[k][0] != 1) return false;
  return true;
}

Layout make_layout(const Shape& shape, std::span<const Shape> strides) {
  Layout layout;
  layout.operands = static_cast<int>(strides.size());
  const Shape* operand = strides.data();
  for (int d = 0; d < shape.rank(); ++d) {
    if (shape[d] == 1) continue;
    bool merge = layout.rank > 0;
    for (int k = 0; merge && k < layout.operands; ++k)
      merge = layout.strides[k][layout.rank - 1] == operand[k][d] * shape[d];
    if (!merge) layout.sizes[layout.rank++] = 1;
    layout.sizes[layout.rank - 1] *= shape[d];
    for (int k = 0; k < layout.operands; ++k) layout.strides[k][layout.rank - 1] = operand[k][d];
  }
  return layout;
}

}  // namespace miniparallel::kernels
