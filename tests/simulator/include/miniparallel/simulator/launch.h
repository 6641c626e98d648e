#pragma once
// How a kernel call reaches the simulator: the type-erased form that the launch header makes of it.

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>

namespace miniparallel::simulator {

/// A kernel with its arguments bound. `invoke(arguments)` runs one CUDA thread.
struct KernelLaunch {
  const void* function = nullptr;  ///< the kernel's address: its name in reports
  dim3 grid, block;
  std::size_t shared_bytes = 0;
  cudaStream_t stream = nullptr;
  bool instrumented = false;  ///< compiled with the checker's callbacks
  std::shared_ptr<void> arguments;
  std::size_t argument_bytes = 0;
  void (*invoke)(void* arguments) = nullptr;
};

/// Queues the kernel; returns the error of a bad configuration, as cudaLaunchKernelEx does.
cudaError_t launch_kernel(KernelLaunch launch);

}  // namespace miniparallel::simulator
