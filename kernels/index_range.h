#pragma once

#include <cstdint>
#include <string>

namespace miniparallel::kernels {

/// What a message says of an index that is not at least 0 and below `bound`, the size of what it indexes.
inline std::string out_of_range(std::int64_t bound) {
  if (bound == 0) return " is out of range; the indexed dimension is empty";
  return " is out of range; it must be at least 0 and below " + std::to_string(bound);
}

}  // namespace miniparallel::kernels
