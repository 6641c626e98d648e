#pragma once

#include "kernels/elementwise.h"

#include <cstddef>
#include <functional>
#include <initializer_list>

namespace miniparallel::kernels::cuda {

/// Calls `run` with parts of the call that together cover it and whose elements are counted and addressed in
/// 31 bits, unless it is a call on plain arrays, which need no offsets. Nothing for an empty call.
/// `bytes`: of an element of each operand.
void for_each_small_part(const ElementwiseArgs& args, std::initializer_list<std::size_t> bytes,
                         const std::function<void(const ElementwiseArgs&)>& run);

/// Whether the call can be done in packs along its last dimension, elements of `bytes` bytes: the output is
/// contiguous there, whole packs make up a row, and contiguous operands begin at multiples of a pack.
bool has_rows_of_packs(const ElementwiseArgs& args, int pack, std::size_t bytes);

}  // namespace miniparallel::kernels::cuda
