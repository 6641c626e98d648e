#include "cublas_context.h"

#if defined(_OPENMP)
#include <omp.h>
#endif

#include "handles.h"

#include <cstdint>
#include <memory>
#include <string>

using namespace miniparallel::simulator;

namespace {

/// A setter or getter of the handle's state: `valid` says whether its argument is acceptable.
template <class F>
cublasStatus_t with_handle(cublasHandle_t handle, bool valid, F&& f) {
  if (!Handles<cublasContext>::instance().alive(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!valid) return CUBLAS_STATUS_INVALID_VALUE;
  f(*handle);
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

namespace miniparallel::simulator {

cublasStatus_t begin(cublasHandle_t handle, const char* function) {
  if (!Handles<cublasContext>::instance().alive(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (current_device() != handle->device) {
    report(Finding::library, std::string(function) + ": the handle belongs to device " +
                                 std::to_string(handle->device) + ", but the thread's current device is " +
                                 std::to_string(current_device()) + "; call cudaSetDevice(" +
                                 std::to_string(handle->device) + ") before, or use a handle per device");
    return CUBLAS_STATUS_EXECUTION_FAILED;
  }
  return begin(handle->stream, function);
}

cublasStatus_t begin(cudaStream_t stream, const char* function) {
  const int device = current_device();
  count_library_call(device);
  if (library_call_fails(function) || sticky_error(device) != cudaSuccess)
    return CUBLAS_STATUS_EXECUTION_FAILED;
  if (const int owner = device_of(stream); owner != device) {
    report(Finding::wrong_stream, std::string(function) + " on device " + std::to_string(device) +
                                      (owner < 0 ? ": the stream was destroyed"
                                                 : ": the stream belongs to device " + std::to_string(owner) +
                                                       "; create a stream per device"));
    return CUBLAS_STATUS_EXECUTION_FAILED;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t queue(cudaStream_t stream, const char* name, std::vector<Access> parameters,
                     std::function<std::vector<Access>()> operands, std::function<void()> calculate,
                     double operations, Unit unit) {
  Work work;
  work.name = name;
  work.demand.operations = operations;
  work.demand.unit = unit;
  work.accesses = std::move(parameters);
  work.more_accesses = std::move(operands);
  work.run = [calculate = std::move(calculate)] {
#if defined(_OPENMP)
    // Workers of several streams share the cores; a team of threads for each would be many times slower.
    if (machine().streams == Streams::threaded) omp_set_num_threads(1);
#endif
    calculate();
    return cudaSuccess;
  };
  return status_of(enqueue(stream, std::move(work)));
}

bool is_alive(cublasHandle_t handle) { return Handles<cublasContext>::instance().alive(handle); }

cublasStatus_t wait_for_device() {
  const cudaError_t error = cudaDeviceSynchronize();
  if (error != cudaSuccess) static_cast<void>(cudaGetLastError());  // a library reads the errors of its calls
  return status_of(error);
}

cublasStatus_t status_of(cudaError_t error) {
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

}  // namespace miniparallel::simulator

extern "C" {

/// Binds a new handle to the thread's current device.
cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (device_count() == 0 || sticky_error(current_device()) != cudaSuccess)
    return CUBLAS_STATUS_NOT_INITIALIZED;
  if (library_call_fails("cublasCreate")) return CUBLAS_STATUS_ALLOC_FAILED;
  *handle = Handles<cublasContext>::instance().add(
      std::make_unique<cublasContext>(cublasContext{current_device()}));
  return CUBLAS_STATUS_SUCCESS;
}

/// Waits for the device, as documented.
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  const auto context = Handles<cublasContext>::instance().remove(handle);
  if (context == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  return wait_for_device();
}

cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int* version) {
  if (version == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *version = CUBLAS_VERSION;
  return CUBLAS_STATUS_SUCCESS;
}

/// Work that is queued from now on goes to `stream`.
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  return with_handle(handle, true, [&](cublasContext& context) { context.stream = stream; });
}

cublasStatus_t cublasGetStream_v2(cublasHandle_t handle, cudaStream_t* stream) {
  return with_handle(handle, stream != nullptr, [&](cublasContext& context) { *stream = context.stream; });
}

/// Checked and forgotten: nothing here needs a workspace. A workspace must be aligned to 256 bytes.
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, size_t) {
  return with_handle(handle, reinterpret_cast<std::uintptr_t>(workspace) % 256 == 0, [](cublasContext&) {});
}

/// Whether alpha, beta and results of dot and nrm2 lie in host or in device memory.
cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t mode) {
  const bool valid = mode == CUBLAS_POINTER_MODE_HOST || mode == CUBLAS_POINTER_MODE_DEVICE;
  return with_handle(handle, valid, [&](cublasContext& context) { context.pointer_mode = mode; });
}

cublasStatus_t cublasGetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t* mode) {
  return with_handle(handle, mode != nullptr, [&](cublasContext& context) { *mode = context.pointer_mode; });
}

/// Kept and returned; results are the same in both modes.
cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t mode) {
  const bool valid = mode == CUBLAS_ATOMICS_NOT_ALLOWED || mode == CUBLAS_ATOMICS_ALLOWED;
  return with_handle(handle, valid, [&](cublasContext& context) { context.atomics_mode = mode; });
}

cublasStatus_t cublasGetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t* mode) {
  return with_handle(handle, mode != nullptr, [&](cublasContext& context) { *mode = context.atomics_mode; });
}

/// Of the modes only CUBLAS_TF32_TENSOR_OP_MATH changes how products are calculated.
cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  return with_handle(handle, true, [&](cublasContext& context) { context.math_mode = mode; });
}

cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t* mode) {
  return with_handle(handle, mode != nullptr, [&](cublasContext& context) { *mode = context.math_mode; });
}

const char* cublasGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR:
      return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_LICENSE_ERROR:
      return "CUBLAS_STATUS_LICENSE_ERROR";
  }
  return "unrecognized status";
}

const char* cublasGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "success";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "no handle, a destroyed handle or no usable GPU";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "out of resources";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "an argument has a value that the function does not accept";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "the GPU is too old for this function";
    case CUBLAS_STATUS_MAPPING_ERROR:
      return "a copy between host and device failed";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "the work could not be started, or an earlier fault stopped the GPU";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "an internal operation failed";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "this combination of arguments is not supported";
    case CUBLAS_STATUS_LICENSE_ERROR:
      return "the licence check failed";
  }
  return "unrecognized status";
}

}  // extern "C"
