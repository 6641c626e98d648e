#pragma once

#include <miniparallel/dtype.h>

#include "kernels/macros.h"

#include <cstdint>
#include <optional>

namespace miniparallel::kernels::cpu {

/// Element i of an array of int64, int32 or uint8.
MP_INLINE std::int64_t index_at(const void* indices, DType dtype, std::int64_t i) {
  if (dtype == int64) return static_cast<const std::int64_t*>(indices)[i];
  if (dtype == int32) return static_cast<const std::int32_t*>(indices)[i];
  return static_cast<const std::uint8_t*>(indices)[i];
}

/// Throws `Error` unless every one of n indices is in [0, bound) or equals `ignored`; names `op`, what the
/// indices are, the first bad one, its position and the bound.
void check_indices(const char* op, const char* what, const void* indices, DType dtype, std::int64_t n,
                   std::int64_t bound, std::optional<std::int64_t> ignored = {});

}  // namespace miniparallel::kernels::cpu
