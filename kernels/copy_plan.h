#pragma once

#include "kernels/elementwise.h"

#include <cstddef>

namespace miniparallel::kernels {

/// A copy of elements of one type: its dimensions in the order of the output's memory, its
/// elements joined to the largest words that both sides hold.
struct CopyPlan {
  ElementwiseArgs args;  ///< y, x; sizes and strides in words
  int word = 1;          ///< bytes: 1, 2, 4, 8 or 16
  /// The dimension along which the input is contiguous, of a copy that transposes: the output is contiguous
  /// along the last one. Otherwise -1.
  int across = -1;

  /// `bytes`: of an element. The copy may be empty.
  CopyPlan(const ElementwiseArgs& copy, std::size_t bytes);
};

}  // namespace miniparallel::kernels
