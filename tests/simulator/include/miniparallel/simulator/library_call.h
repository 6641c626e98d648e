#pragma once
// How a library of templates, which is compiled with the program, puts its work on a simulated stream.

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>

namespace miniparallel::simulator {

struct MemoryRange {
  void* address;
  std::size_t bytes;
};

/// Queues `run`, which reads and writes `updated`, all of it written before, and uses `scratch`. It counts as
/// one library call. Returns the error of a stream that is not the current device's, of a device that failed,
/// or of the fault that `fail_library_call` chose.
cudaError_t queue_library_call(cudaStream_t stream, const char* name, MemoryRange updated,
                               MemoryRange scratch, std::function<void()> run);

}  // namespace miniparallel::simulator
