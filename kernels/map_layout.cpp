#include "kernels/map_layout.h"

#include <utility>

namespace miniparallel::kernels {

Layout make_map_layout(const Shape& shape, std::span<const Shape> strides) {
  int order[kMaxRank];
  int count = 0;
  for (int d = 0; d < shape.rank(); ++d)
    if (shape[d] != 1) order[count++] = d;
  const Shape& output = strides[0];
  for (int i = 1; i < count; ++i)  // std::stable_sort would ask the system for memory
    for (int k = i; k > 0 && output[order[k - 1]] < output[order[k]]; --k) std::swap(order[k - 1], order[k]);
  Shape sizes, ordered[kMaxOperands];
  for (int i = 0; i < count; ++i) {
    sizes.push_back(shape[order[i]]);
    for (std::size_t k = 0; k < strides.size(); ++k) ordered[k].push_back(strides[k][order[i]]);
  }
  return make_layout(sizes, std::span(ordered, strides.size()));
}

}  // namespace miniparallel::kernels
