#include "engine/cuda/discovery.h"

#include "engine/error.h"
#include "kernels/cuda/device/check.h"
#include "kernels/cuda/device/probe.h"

#include <cuda_runtime_api.h>

namespace miniparallel::cuda {
namespace {

/// 13000 as "13.0".
std::string version_text(int version) { return message(version / 1000, '.', version % 1000 / 10); }

/// CUDA gives one error for a missing driver and for one that is too old.
std::string driver_reason() {
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
    return "no NVIDIA driver is installed, or it is not running";
  return message("the NVIDIA driver supports CUDA ", version_text(driver), ", this build needs ",
                 version_text(CUDART_VERSION), "; update the driver");
}

std::string text_of(cudaError_t error) {
  return message(cudaGetErrorName(error), " (", cudaGetErrorString(error), ")");
}

}  // namespace

Discovery discover() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  quietly(error);
  if (error == cudaErrorInsufficientDriver) return {0, driver_reason()};
  if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
    return {0, "no GPU is visible; CUDA_VISIBLE_DEVICES may hide it"};
  if (error != cudaSuccess) return {0, "CUDA does not start: " + text_of(error)};
  if (std::string reason = kernels::cuda::probe(0); !reason.empty()) return {0, std::move(reason)};
  return {count, ""};
}

}  // namespace miniparallel::cuda
