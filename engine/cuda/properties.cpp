#include "engine/cuda/runtime.h"
#include "kernels/cuda/device/check.h"

#include <cuda_runtime_api.h>

#include <array>

namespace miniparallel::cuda {
namespace {

std::vector<CudaLink> links_of(int device, int count) {
  std::vector<CudaLink> links;
  for (int peer = 0; peer < count; ++peer) {
    if (peer == device) continue;
    int reachable = 0;
    CUDA_CHECK(cudaDeviceCanAccessPeer(&reachable, device, peer));
    if (reachable == 0) continue;
    CudaLink link{.peer = peer};
    int atomics = 0;
    CUDA_CHECK(
        cudaDeviceGetP2PAttribute(&link.performance_rank, cudaDevP2PAttrPerformanceRank, device, peer));
    CUDA_CHECK(cudaDeviceGetP2PAttribute(&atomics, cudaDevP2PAttrNativeAtomicSupported, device, peer));
    link.atomics = atomics != 0;
    links.push_back(link);
  }
  return links;
}

}  // namespace

CudaDeviceProperties Runtime::properties(int device) const {
  cudaDeviceProp found{};
  CUDA_CHECK(cudaGetDeviceProperties(&found, device));
  std::array<char, 32> bus_id{};
  CUDA_CHECK(cudaDeviceGetPCIBusId(bus_id.data(), static_cast<int>(bus_id.size()), device));
  return {.name = found.name,
          .total_memory = static_cast<std::int64_t>(found.totalGlobalMem),
          .multi_processor_count = found.multiProcessorCount,
          .major = found.major,
          .minor = found.minor,
          .pci_bus_id = bus_id.data(),
          .links = links_of(device, found_.count)};
}

}  // namespace miniparallel::cuda
