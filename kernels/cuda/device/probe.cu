#include "kernels/cuda/device/device_guard.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/probe.h"

namespace miniparallel::kernels::cuda {
using namespace miniparallel::cuda;

namespace {

__global__ void nothing() {}

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

}  // namespace miniparallel::kernels::cuda
