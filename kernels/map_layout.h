#pragma once

#include "kernels/layout.h"

namespace miniparallel::kernels {

/// `make_layout` with the dimensions in the order of the output's strides, the largest first, for calls that
/// do not tell which element comes first: arrays that are permuted alike have rank 1, too.
Layout make_map_layout(const Shape& shape, std::span<const Shape> strides);
inline Layout make_map_layout(const Shape& shape, std::initializer_list<Shape> strides) {
  return make_map_layout(shape, std::span(strides.begin(), strides.size()));
}

}  // namespace miniparallel::kernels
