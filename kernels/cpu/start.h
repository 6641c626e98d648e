#pragma once

#include "kernels/macros.h"

#include <cstdint>

namespace miniparallel::kernels::cpu {

/// What the sums of a product begin with: rows of as many columns; zeros where there are none.
template <class T>
struct Start {
  const T* data = nullptr;
  std::int64_t stride = 0;  ///< 0: one row for all

  MP_INLINE Start at(std::int64_t row, std::int64_t column) const {
    return data == nullptr ? Start{} : Start{data + row * stride + column, stride};
  }
};

}  // namespace miniparallel::kernels::cpu
