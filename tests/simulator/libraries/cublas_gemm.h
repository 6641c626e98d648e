#pragma once
// What all of cuBLAS's matrix products have in common: check
// the arguments, then queue the products on the stream.
#include "cublas_context.h"

namespace miniparallel::simulator {

/// One operand of a batch. `data` is the first matrix, or
/// with pointer arrays a device array of matrix addresses.
struct GemmOperand {
  const void* data;
  cudaDataType_t type;
  std::int64_t ld;
  std::int64_t stride = 0;  ///< elements from one matrix of the batch to the next; 0 repeats the first
};

/// C = alpha * op(A) * op(B) + beta * C for each matrix of the batch, column-major, op(A) being m x k.
struct Gemm {
  const char* function;
  cublasOperation_t transa, transb;
  std::int64_t m, n, k;
  const void* alpha;
  GemmOperand a, b;
  const void* beta;
  GemmOperand c;
  cublasComputeType_t compute;
  std::int64_t batch = 1;
  bool pointer_arrays = false;
};

/// INVALID_VALUE for an unknown operation, a negative size, a leading dimension below max(1, rows) and NULL
/// pointers; NOT_SUPPORTED for combinations of types outside float, double, half and bfloat16 with sums in
/// float or double, and for matrices that are not aligned to their element.
cublasStatus_t run_gemm(cublasHandle_t handle, const Gemm& gemm);

/// True for the combinations of types of the documentation's tables that are simulated; alpha and beta then
/// have the type scale_type(compute).
bool supported(cublasComputeType_t compute, cudaDataType_t a, cudaDataType_t b, cudaDataType_t c);
cudaDataType_t scale_type(cublasComputeType_t compute);

}  // namespace miniparallel::simulator
