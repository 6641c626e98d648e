#pragma once

#include "kernels/cuda/matmul/check_cublas.h"
#include "kernels/cuda/matmul/epilogue_plan.h"
#include "kernels/stream.h"

#include <cublas_v2.h>

#include <mutex>

namespace miniparallel::kernels::cuda {

/// The handle of a stream, locked: one thread at a time calls cuBLAS with it.
class Cublas {
 public:
  explicit Cublas(Stream stream);
  cublasHandle_t handle() const { return handle_; }
  /// The plans of products with an epilogue, for this handle.
  EpiloguePlans& epilogue_plans() const { return *plans_; }

 private:
  std::unique_lock<std::mutex> lock_;
  cublasHandle_t handle_;
  EpiloguePlans* plans_;
};

void release_cublas();

}  // namespace miniparallel::kernels::cuda
