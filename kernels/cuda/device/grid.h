#pragma once

#include <cstdint>

namespace miniparallel::kernels::cuda {

inline constexpr int kBlock = 256;  // threads; eight such blocks fill a multiprocessor

int multiprocessors(int device);
/// After this devices may be others.
void forget_multiprocessors();

/// Blocks for a kernel whose threads step over `items` by the size of the grid: one thread for each, but no
/// more than fill the device a few times.
unsigned grid_for(std::int64_t items, int device, int block = kBlock);

}  // namespace miniparallel::kernels::cuda
