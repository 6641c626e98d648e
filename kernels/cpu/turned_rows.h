#pragma once

#include "kernels/macros.h"

#include <cstdint>

/// Rows of a matrix that are shorter than a vector are computed many at once, turned: element i of each next
/// to one another. Forced inline: see lanes.h.

namespace miniparallel::kernels::cpu {

inline constexpr std::int64_t kTurnedRows = 64, kTurnedLength = 16;

/// At most kTurnedRows rows of at most kTurnedLength elements.
template <class T>
struct TurnedRows {
  alignas(64) T elements[kTurnedLength * kTurnedRows];

  /// Element i of each row.
  MP_INLINE T* operator[](std::int64_t i) { return elements + i * kTurnedRows; }

  MP_INLINE void read(const T* x, std::int64_t rows, std::int64_t length) {
    for (std::int64_t i = 0; i < length; ++i)
      for (std::int64_t r = 0; r < rows; ++r) (*this)[i][r] = x[r * length + i];
  }
  MP_INLINE void write(T* y, std::int64_t rows, std::int64_t length) {
    for (std::int64_t i = 0; i < length; ++i)
      for (std::int64_t r = 0; r < rows; ++r) y[r * length + i] = (*this)[i][r];
  }
};

}  // namespace miniparallel::kernels::cpu
