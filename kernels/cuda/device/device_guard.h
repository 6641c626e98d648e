#pragma once

#include "kernels/cuda/device/check.h"

#include <utility>

namespace miniparallel::cuda {

/// Makes a device current for the calling thread and, at the end, the one that was.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device) : named_(device) {
    CUDA_CHECK(cudaGetDevice(&previous_));
    if (previous_ != device) CUDA_CHECK(cudaSetDevice(device));
  }
  ~DeviceGuard() {
    if (previous_ != guarded_device) quietly(cudaSetDevice(previous_));
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  /// Puts the name back last, also when the constructor throws.
  struct Named {
    int previous;
    explicit Named(int device) : previous(std::exchange(guarded_device, device)) {}
    ~Named() { guarded_device = previous; }
  };

  Named named_;
  int previous_ = 0;
};

}  // namespace miniparallel::cuda
