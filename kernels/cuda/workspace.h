#pragma once

#include "kernels/stream.h"

#include <cstddef>

namespace miniparallel::kernels::cuda {

inline constexpr std::size_t kWorkspaceBytes = std::size_t{16} << 20;

/// Memory of kWorkspaceBytes for what kernels of one stream hand to the next of the same call. There is one
/// per stream: its order is the guard.
void* workspace(Stream stream);

void release_workspaces();

}  // namespace miniparallel::kernels::cuda
