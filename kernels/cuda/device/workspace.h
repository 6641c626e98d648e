#pragma once

#include "kernels/stream.h"

#include <cstddef>

namespace miniparallel::kernels::cuda {

/// The size that NVIDIA recommends for cuBLAS on compute capability 9.0: with half of it products over many
/// terms split them less and take up to twice the time (measured on an H200).
inline constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

/// Memory of kWorkspaceBytes for what kernels of one stream hand to the next of the same call. There is one
/// per stream: its order is the guard.
void* workspace(Stream stream);

void release_workspaces();

}  // namespace miniparallel::kernels::cuda
