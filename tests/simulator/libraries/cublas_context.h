#pragma once
// The state behind a cublasHandle_t, and what every cuBLAS call does first and last.
#include "../runtime.h"

#include <cublas_v2.h>

/// NVIDIA's opaque type, defined.
struct cublasContext {
  int device;
  cudaStream_t stream = nullptr;
  cublasPointerMode_t pointer_mode = CUBLAS_POINTER_MODE_HOST;
  cublasMath_t math_mode = CUBLAS_DEFAULT_MATH;
  cublasAtomicsMode_t atomics_mode = CUBLAS_ATOMICS_NOT_ALLOWED;

  bool scalars_on_device() const { return pointer_mode == CUBLAS_POINTER_MODE_DEVICE; }
};

namespace miniparallel::simulator {

/// CUBLAS_STATUS_NOT_INITIALIZED unless the handle is alive; EXECUTION_FAILED if a fault strikes or the
/// device already failed; EXECUTION_FAILED with a report if the handle belongs to another device than the
/// thread's current one.
cublasStatus_t begin(cublasHandle_t handle, const char* function);

/// The same for a call that names its stream instead of a handle.
cublasStatus_t begin(cudaStream_t stream, const char* function);

bool is_alive(cublasHandle_t handle);

/// Queues a calculation. `parameters` are checked first, then, since they may depend on those, `operands`. It
/// has `operations`, for the virtual clock.
cublasStatus_t queue(cudaStream_t stream, const char* name, std::vector<Access> parameters,
                     std::function<std::vector<Access>()> operands, std::function<void()> calculate,
                     double operations = 0, Unit unit = Unit::float32);

/// The cuBLAS status for the outcome of enqueue() or wait_for().
cublasStatus_t status_of(cudaError_t error);
/// Waits for the current device.
cublasStatus_t wait_for_device();

}  // namespace miniparallel::simulator
