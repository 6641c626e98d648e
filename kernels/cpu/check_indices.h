#pragma once

#include <miniparallel/dtype.h>

#include "kernels/index_at.h"

#include <cstdint>
#include <optional>

namespace miniparallel::kernels::cpu {

/// Throws `Error` unless every one of n indices is in [0, bound) or equals `ignored`; names `op`, what the
/// indices are, the first bad one, its position and the bound.
void check_indices(const char* op, const char* what, const void* indices, DType dtype, std::int64_t n,
                   std::int64_t bound, std::optional<std::int64_t> ignored = {});

}  // namespace miniparallel::kernels::cpu
