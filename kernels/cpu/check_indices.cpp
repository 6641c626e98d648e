#include "kernels/cpu/check_indices.h"

#include <miniparallel/error.h>

#include "kernels/index_range.h"

#include <string>

namespace miniparallel::kernels::cpu {

namespace {

/// Whether all are in [0, bound): of such an index neither it nor what is left to the last one is negative.
template <class Index>
bool all_below(const Index* indices, std::int64_t n, std::int64_t bound) {
  std::uint64_t signs = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto index = static_cast<std::uint64_t>(static_cast<std::int64_t>(indices[i]));
    signs |= index | (static_cast<std::uint64_t>(bound) - 1 - index);
  }
  return static_cast<std::int64_t>(signs) >= 0;
}

bool all_below(const void* indices, DType dtype, std::int64_t n, std::int64_t bound) {
  if (dtype == int64) return all_below(static_cast<const std::int64_t*>(indices), n, bound);
  if (dtype == int32) return all_below(static_cast<const std::int32_t*>(indices), n, bound);
  return all_below(static_cast<const std::uint8_t*>(indices), n, bound);
}

}  // namespace

void check_indices(const char* op, const char* what, const void* indices, DType dtype, std::int64_t n,
                   std::int64_t bound, std::optional<std::int64_t> ignored) {
  if (all_below(indices, dtype, n, bound)) return;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t index = index_at(indices, dtype, i);
    if ((index >= 0 && index < bound) || index == ignored) continue;
    throw Error(std::string(op) + ": " + what + " " + std::to_string(index) + " at position " +
                std::to_string(i) + out_of_range(bound));
  }
}

}  // namespace miniparallel::kernels::cpu
