#pragma once
// The one check of CUDA calls: a failure becomes an exception
// that carries the call, the device and CUDA's text.

#include <miniparallel/error.h>

#include <cuda_runtime_api.h>

#include <string>

namespace miniparallel::cuda {

/// A CUDA call that failed. `code()` tells recoverable errors
/// (out of memory, bad configuration) from the sticky ones.
class CudaError : public Error {
 public:
  CudaError(cudaError_t code, const std::string& message) : Error(message), code_(code) {}
  cudaError_t code() const { return code_; }

 private:
  cudaError_t code_;
};

/// The device that the calling thread's DeviceGuard names;
/// after some errors CUDA does not tell which is current.
inline thread_local int guarded_device = -1;

/// Throws the error of `call`, and clears it so that the next launch is not blamed for it.
[[noreturn]] inline void throw_cuda_error(cudaError_t code, const char* call) {
  static_cast<void>(cudaGetLastError());
  int device = -1;
  if (cudaGetDevice(&device) != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    device = guarded_device;
  }
  throw CudaError(code, std::string(call) + " failed on device " + std::to_string(device) + ": " +
                            cudaGetErrorName(code) + " (" + cudaGetErrorString(code) + ")");
}

/// For destructors, and for failures that have another way out: the error is not left for the next launch.
inline void quietly(cudaError_t code) noexcept {
  if (code != cudaSuccess) static_cast<void>(cudaGetLastError());
}

/// While the process ends CUDA unloads before the last destructors run: it has already freed everything.
inline void check(cudaError_t code, const char* call) {
  if (code != cudaSuccess && code != cudaErrorCudartUnloading) [[unlikely]]
    throw_cuda_error(code, call);
}

}  // namespace miniparallel::cuda

/// CUDA_CHECK(cudaMalloc(&memory, bytes));
#define CUDA_CHECK(...) ::miniparallel::cuda::check((__VA_ARGS__), #__VA_ARGS__)
