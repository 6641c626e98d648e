#include "kernels/cuda/device/workspace.h"

#include "kernels/cuda/device/device_guard.h"
#include "kernels/cuda/device/retry_out_of_memory.h"

#include <map>
#include <mutex>

namespace miniparallel::kernels::cuda {
namespace {

struct Workspaces {
  std::mutex mutex;
  std::map<void*, void*> by_stream;
};

Workspaces& workspaces() {
  static Workspaces* const all = new Workspaces;  // usable while the process ends
  return *all;
}

}  // namespace

void* workspace(Stream stream) {
  const std::scoped_lock lock(workspaces().mutex);
  void*& memory = workspaces().by_stream[stream.handle];
  if (memory == nullptr) {
    const miniparallel::cuda::DeviceGuard guard(stream.device);
    CUDA_CHECK(with_memory(stream.device, "a workspace of " + std::to_string(kWorkspaceBytes) + " bytes",
                           cudaErrorMemoryAllocation, [&] { return cudaMalloc(&memory, kWorkspaceBytes); }));
  }
  return memory;
}

void release_workspaces() {
  const std::scoped_lock lock(workspaces().mutex);
  for (const auto& [stream, memory] : workspaces().by_stream) miniparallel::cuda::quietly(cudaFree(memory));
  workspaces().by_stream.clear();
}

}  // namespace miniparallel::kernels::cuda
