#pragma once

#include <miniparallel/dtype.h>

#include "kernels/macros.h"

#include <cstdint>

namespace miniparallel::kernels {

/// Element i of an array of int64, int32 or uint8.
MP_INLINE std::int64_t index_at(const void* indices, DType dtype, std::int64_t i) {
  if (dtype == int64) return static_cast<const std::int64_t*>(indices)[i];
  if (dtype == int32) return static_cast<const std::int32_t*>(indices)[i];
  return static_cast<const std::uint8_t*>(indices)[i];
}

}  // namespace miniparallel::kernels
