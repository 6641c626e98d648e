#pragma once
// What a GPU of a compute capability can do, from the CUDA
// programming guide's table of technical specifications.

#include "core/simulation.h"

namespace miniparallel::simulator {

inline constexpr std::size_t shared_bytes_per_block = std::size_t{48} << 10;

/// Shared memory that a kernel may opt in to.
inline std::size_t opt_in_shared_bytes(const Simulation& s, int device) {
  const int capability = s.devices[static_cast<std::size_t>(device)].gpu.compute_capability;
  const std::size_t kilobytes = capability >= 120                      ? 99
                                : capability >= 90                     ? 227
                                : capability == 80 || capability == 87 ? 163
                                : capability >= 86                     ? 99
                                                                       : 64;
  return kilobytes << 10;
}

}  // namespace miniparallel::simulator
