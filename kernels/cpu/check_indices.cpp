#include "kernels/cpu/check_indices.h"

#include <miniparallel/error.h>

#include "kernels/index_range.h"

#include <string>

namespace miniparallel::kernels::cpu {

void check_indices(const char* op, const char* what, const void* indices, DType dtype, std::int64_t n,
                   std::int64_t bound, std::optional<std::int64_t> ignored) {
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t index = index_at(indices, dtype, i);
    if ((index >= 0 && index < bound) || index == ignored) continue;
    throw Error(std::string(op) + ": " + what + " " + std::to_string(index) + " at position " +
                std::to_string(i) + out_of_range(bound));
  }
}

}  // namespace miniparallel::kernels::cpu
