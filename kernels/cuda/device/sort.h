#pragma once

#include "kernels/stream.h"

#include <cstddef>
#include <cstdint>

namespace miniparallel::kernels::cuda {

/// Sorts `count` keys in device memory, the least first, on the stream: the host does not wait, and nothing
/// is allocated. `scratch` is device memory for as many keys again and, for each hundred keys, a few more and
/// 64 KiB; throws `Error` if that is too little.
void sort_keys(std::uint64_t* keys, std::int64_t count, void* scratch, std::size_t scratch_bytes,
               Stream stream);

}  // namespace miniparallel::kernels::cuda
