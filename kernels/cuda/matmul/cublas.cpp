#include "kernels/cuda/matmul/cublas.h"

#include <miniparallel/error.h>

#include "kernels/cuda/device/device_guard.h"
#include "kernels/cuda/device/retry_out_of_memory.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>

namespace miniparallel::kernels::cuda {
namespace {

struct Entry {
  Entry() = default;
  ~Entry() {
    if (handle != nullptr) static_cast<void>(cublasDestroy(handle));
  }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

  std::mutex mutex;
  cublasHandle_t handle = nullptr;
  EpiloguePlans epilogue_plans;
};

struct Entries {
  std::mutex mutex;
  std::map<void*, std::unique_ptr<Entry>> by_stream;
};

Entries& entries() {
  static Entries* const all = new Entries;  // usable while the process ends
  return *all;
}

Entry& entry_of(Stream stream) {
  const std::scoped_lock lock(entries().mutex);
  const auto found = entries().by_stream.find(stream.handle);
  if (found != entries().by_stream.end()) return *found->second;
  auto made = std::make_unique<Entry>();
  const miniparallel::cuda::DeviceGuard guard(stream.device);
  CUBLAS_CHECK(with_memory(stream.device, "a handle of cuBLAS", CUBLAS_STATUS_ALLOC_FAILED,
                           [&] { return cublasCreate(&made->handle); }));
  CUBLAS_CHECK(cublasSetStream(made->handle, static_cast<cudaStream_t>(stream.handle)));
  return *entries().by_stream.emplace(stream.handle, std::move(made)).first->second;
}

}  // namespace

void check_cublas(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  std::string name(call);
  name.resize(std::min(name.find('('), name.size()));
  // After a sticky error cuBLAS fails too, with a status that tells less.
  if (const cudaError_t sticky = cudaGetLastError(); sticky != cudaSuccess)
    miniparallel::cuda::throw_cuda_error(sticky, name.c_str());
  throw Error(name + " failed on device " + std::to_string(miniparallel::cuda::guarded_device) + ": " +
              cublasGetStatusName(status) + " (" + cublasGetStatusString(status) + ")");
}

Cublas::Cublas(Stream stream) {
  Entry& entry = entry_of(stream);
  lock_ = std::unique_lock(entry.mutex);
  handle_ = entry.handle;
  plans_ = &entry.epilogue_plans;
}

void release_cublas() {
  const std::scoped_lock lock(entries().mutex);
  entries().by_stream.clear();
}

}  // namespace miniparallel::kernels::cuda
