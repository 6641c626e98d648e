#include "kernels/cuda/device/device_guard.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/probe.h"

#include <array>
#include <atomic>

namespace miniparallel::kernels::cuda {
using namespace miniparallel::cuda;

namespace {

__global__ void nothing() {}

constexpr int kMaxDevices = 64;
std::array<std::atomic<int>, kMaxDevices> known{};  // architectures, or 0

std::string describe(int device) {
  cudaDeviceProp properties;
  CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  return "GPU " + std::to_string(device) + " (" + properties.name + ", compute capability " +
         std::to_string(properties.major) + "." + std::to_string(properties.minor) + ")";
}

}  // namespace

std::string probe(int device) {
  try {
    const DeviceGuard guard(device);
    launch(nothing, {});
    CUDA_CHECK(cudaStreamSynchronize(nullptr));
    return "";
  } catch (const CudaError& error) {
    if (error.code() != cudaErrorNoKernelImageForDevice && error.code() != cudaErrorInvalidDeviceFunction)
      return error.what();
    return "this build has no kernel image for " + describe(device) +
           "; build it with that architecture in CMAKE_CUDA_ARCHITECTURES";
  }
}

int code_architecture(int device) {
  const bool kept = device < kMaxDevices;
  int architecture = kept ? known[static_cast<std::size_t>(device)].load(std::memory_order_relaxed) : 0;
  if (architecture == 0) {
    const DeviceGuard guard(device);
    cudaFuncAttributes attributes{};
    CUDA_CHECK(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(nothing)));
    architecture = attributes.ptxVersion;
    if (kept) known[static_cast<std::size_t>(device)].store(architecture, std::memory_order_relaxed);
  }
  return architecture;
}

void forget_architectures() {
  for (std::atomic<int>& architecture : known) architecture.store(0, std::memory_order_relaxed);
}

}  // namespace miniparallel::kernels::cuda
