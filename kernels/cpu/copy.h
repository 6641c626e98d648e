#pragma once

#include "kernels/elementwise.h"

#include <cstddef>
#include <cstdint>

namespace miniparallel::kernels::cpu {

/// Copies n elements between arrays of any strides, the input's 0 where one is repeated: to, its stride,
/// from, its stride, n.
using CopyRow = void (*)(void*, std::int64_t, const void*, std::int64_t, std::int64_t);

/// For elements of 1, 2, 4, 8 or 16 bytes.
CopyRow copy_row_for(std::size_t bytes);

/// Copies n elements between arrays, the last one first: to, from, n.
using CopyBackwards = void (*)(void*, const void*, std::int64_t);
CopyBackwards copy_backwards_for(std::size_t bytes);

/// y = x, elements of `bytes` bytes, any layout.
void copy(std::size_t bytes, const ElementwiseArgs& args);

}  // namespace miniparallel::kernels::cpu
