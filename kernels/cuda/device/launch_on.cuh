#pragma once

#include "kernels/cuda/device/device_guard.h"
#include "kernels/cuda/device/grid.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/stream.h"

namespace miniparallel::kernels::cuda {

inline cudaStream_t native(Stream stream) { return static_cast<cudaStream_t>(stream.handle); }

/// Starts a kernel on the stream, with the stream's device current.
template <class... Parameters, class... Arguments>
void launch_blocks(Stream stream, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                   const Arguments&... arguments) {
  const miniparallel::cuda::DeviceGuard guard(stream.device);
  miniparallel::cuda::launch(kernel, {.grid = grid, .block = block, .stream = native(stream)}, arguments...);
}

/// The same in one dimension.
template <class... Parameters, class... Arguments>
void launch_on(Stream stream, void (*kernel)(Parameters...), unsigned grid, int block,
               const Arguments&... arguments) {
  launch_blocks(stream, kernel, dim3(grid), dim3(static_cast<unsigned>(block)), arguments...);
}

}  // namespace miniparallel::kernels::cuda
