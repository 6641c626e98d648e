#pragma once

#include "kernels/cuda/matmul/epilogue_plan.h"
#include "kernels/stream.h"

#include <cublas_v2.h>

#include <mutex>

namespace miniparallel::kernels::cuda {

void check_cublas(cublasStatus_t status, const char* call);

/// The handle of a stream, locked: one thread at a time calls cuBLAS with it.
class Cublas {
 public:
  explicit Cublas(Stream stream);
  cublasHandle_t handle() const { return handle_; }
  /// What is known of products with an epilogue, for this handle.
  EpiloguePlans& epilogue_plans() const { return *plans_; }

 private:
  std::unique_lock<std::mutex> lock_;
  cublasHandle_t handle_;
  EpiloguePlans* plans_;
};

void release_cublas();

}  // namespace miniparallel::kernels::cuda

/// CUBLAS_CHECK(cublasSgemm(...)): a failure is an `Error` with the call, the device and cuBLAS's text.
#define CUBLAS_CHECK(...) ::miniparallel::kernels::cuda::check_cublas((__VA_ARGS__), #__VA_ARGS__)
