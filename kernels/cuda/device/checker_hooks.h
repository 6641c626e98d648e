#pragma once

#include "kernels/stream.h"

#include <cstddef>

namespace miniparallel::kernels::cuda {

/// The caching allocator's messages to the simulated GPU's checker; nothing on a GPU. In a separate file that
/// is compiled as kernels are, since only they know which of the two they run on.
void block_handed_out(const void* block, std::size_t bytes, Stream stream);
void block_returned(const void* block, Stream stream);

}  // namespace miniparallel::kernels::cuda
