// cuBLAS's matrix products: one row per function family, each of them a Gemm.
#include "cublas_gemm.h"

using namespace miniparallel::simulator;

// clang-format off
#define HANDLE_AND_SHAPE(Int) \
  cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, Int m, Int n, Int k

/// C = alpha * op(A) * op(B) + beta * C.
#define GEMM(name, T, Int, type, compute)                                                                 \
  cublasStatus_t name(HANDLE_AND_SHAPE(Int), const T* alpha, const T* A, Int lda, const T* B, Int ldb,    \
                      const T* beta, T* C, Int ldc) {                                                     \
    return run_gemm(handle, {#name, transa, transb, m, n, k, alpha, {A, type, lda}, {B, type, ldb}, beta, \
                             {C, type, ldc}, compute});                                                   \
  }

/// The same for every matrix of a batch at fixed distances; a distance of 0 uses the first matrix for all.
#define GEMM_STRIDED(name, T, Int, type, compute)                                                         \
  cublasStatus_t name(HANDLE_AND_SHAPE(Int), const T* alpha, const T* A, Int lda, long long stride_a,     \
                      const T* B, Int ldb, long long stride_b, const T* beta, T* C, Int ldc,              \
                      long long stride_c, Int batch) {                                                    \
    return run_gemm(handle, {#name, transa, transb, m, n, k, alpha, {A, type, lda, stride_a},             \
                             {B, type, ldb, stride_b}, beta, {C, type, ldc, stride_c}, compute, batch});  \
  }

/// The same for matrices whose addresses lie in arrays in device memory.
#define GEMM_POINTERS(name, T, Int, type, compute)                                                        \
  cublasStatus_t name(HANDLE_AND_SHAPE(Int), const T* alpha, const T* const A[], Int lda,                 \
                      const T* const B[], Int ldb, const T* beta, T* const C[], Int ldc, Int batch) {     \
    return run_gemm(handle, {#name, transa, transb, m, n, k, alpha, {A, type, lda}, {B, type, ldb}, beta, \
                             {C, type, ldc}, compute, batch, true});                                      \
  }

/// GEMM, GEMM_STRIDED and GEMM_POINTERS with a type for each matrix and one for the sums; the choice of an
/// algorithm changes nothing here.
#define GEMM_EX(name, Int)                                                                                \
  cublasStatus_t name(HANDLE_AND_SHAPE(Int), const void* alpha, const void* A, cudaDataType type_a,       \
                      Int lda, const void* B, cudaDataType type_b, Int ldb, const void* beta, void* C,    \
                      cudaDataType type_c, Int ldc, cublasComputeType_t compute, cublasGemmAlgo_t) {      \
    return run_gemm(handle, {#name, transa, transb, m, n, k, alpha, {A, type_a, lda}, {B, type_b, ldb},   \
                             beta, {C, type_c, ldc}, compute});                                           \
  }
#define GEMM_STRIDED_EX(name, Int)                                                                        \
  cublasStatus_t name(HANDLE_AND_SHAPE(Int), const void* alpha, const void* A, cudaDataType type_a,       \
                      Int lda, long long stride_a, const void* B, cudaDataType type_b, Int ldb,           \
                      long long stride_b, const void* beta, void* C, cudaDataType type_c, Int ldc,        \
                      long long stride_c, Int batch, cublasComputeType_t compute, cublasGemmAlgo_t) {     \
    return run_gemm(handle, {#name, transa, transb, m, n, k, alpha, {A, type_a, lda, stride_a},           \
                             {B, type_b, ldb, stride_b}, beta, {C, type_c, ldc, stride_c}, compute,       \
                             batch});                                                                     \
  }
#define GEMM_POINTERS_EX(name, Int)                                                                       \
  cublasStatus_t name(HANDLE_AND_SHAPE(Int), const void* alpha, const void* const A[],                    \
                      cudaDataType type_a, Int lda, const void* const B[], cudaDataType type_b, Int ldb,  \
                      const void* beta, void* const C[], cudaDataType type_c, Int ldc, Int batch,         \
                      cublasComputeType_t compute, cublasGemmAlgo_t) {                                    \
    return run_gemm(handle, {#name, transa, transb, m, n, k, alpha, {A, type_a, lda}, {B, type_b, ldb},   \
                             beta, {C, type_c, ldc}, compute, batch, true});                              \
  }

#define FOR_FLOAT_AND_DOUBLE(DEFINE, S, D)                            \
  DEFINE(S, float, int, CUDA_R_32F, CUBLAS_COMPUTE_32F)               \
  DEFINE(S##_64, float, std::int64_t, CUDA_R_32F, CUBLAS_COMPUTE_32F) \
  DEFINE(D, double, int, CUDA_R_64F, CUBLAS_COMPUTE_64F)              \
  DEFINE(D##_64, double, std::int64_t, CUDA_R_64F, CUBLAS_COMPUTE_64F)
// clang-format on

extern "C" {

FOR_FLOAT_AND_DOUBLE(GEMM, cublasSgemm_v2, cublasDgemm_v2)
FOR_FLOAT_AND_DOUBLE(GEMM_STRIDED, cublasSgemmStridedBatched, cublasDgemmStridedBatched)
FOR_FLOAT_AND_DOUBLE(GEMM_POINTERS, cublasSgemmBatched, cublasDgemmBatched)
GEMM_EX(cublasGemmEx, int)
GEMM_EX(cublasGemmEx_64, std::int64_t)
GEMM_STRIDED_EX(cublasGemmStridedBatchedEx, int)
GEMM_STRIDED_EX(cublasGemmStridedBatchedEx_64, std::int64_t)
GEMM_POINTERS_EX(cublasGemmBatchedEx, int)
GEMM_POINTERS_EX(cublasGemmBatchedEx_64, std::int64_t)

}  // extern "C"
