#include "cublas_gemm.h"

#include "device_matrix.h"
#include "matmul.h"

#include <algorithm>
#include <climits>
#include <cstdint>
#include <vector>

namespace miniparallel::simulator {
namespace {

bool known(cublasOperation_t op) { return op == CUBLAS_OP_N || op == CUBLAS_OP_T || op == CUBLAS_OP_C; }

/// Rows of the stored matrix that op() makes rows x cols.
std::int64_t stored_rows(cublasOperation_t op, std::int64_t rows, std::int64_t cols) {
  return op == CUBLAS_OP_N ? rows : cols;
}

bool aligned(const GemmOperand& operand) {
  return reinterpret_cast<std::uintptr_t>(operand.data) % size_of(operand.type) == 0;
}

cublasStatus_t validate(const Gemm& g) {
  const bool sizes = g.m >= 0 && g.n >= 0 && g.k >= 0 && g.batch >= 0;
  if (!known(g.transa) || !known(g.transb) || !sizes) return CUBLAS_STATUS_INVALID_VALUE;
  const auto least = [](std::int64_t rows) { return std::max<std::int64_t>(1, rows); };
  if (g.a.ld < least(stored_rows(g.transa, g.m, g.k)) || g.b.ld < least(stored_rows(g.transb, g.k, g.n)) ||
      g.c.ld < least(g.m)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (!supported(g.compute, g.a.type, g.b.type, g.c.type)) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (std::max({g.m, g.n, g.k, g.a.ld, g.b.ld, g.c.ld}) > INT_MAX) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (g.alpha == nullptr || g.beta == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (g.m == 0 || g.n == 0 || g.batch == 0) return CUBLAS_STATUS_SUCCESS;
  if (g.c.data == nullptr || (g.k > 0 && (g.a.data == nullptr || g.b.data == nullptr))) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const bool all_aligned = g.pointer_arrays || (aligned(g.a) && aligned(g.b) && aligned(g.c));
  return all_aligned ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

/// A validated batch whose scalars and pointer arrays may
/// still be unwritten: they are read when the work runs.
struct Batch {
  Gemm gemm;
  Scalar alpha, beta;
  bool tf32;

  /// op() of matrix `index`, rows x cols.
  Matrix operand(const GemmOperand& operand, cublasOperation_t op, std::int64_t rows, std::int64_t cols,
                 std::int64_t index) const {
    void* data = gemm.pointer_arrays ? static_cast<void* const*>(operand.data)[index]
                                     : advanced(operand.data, size_of(operand.type), index * operand.stride);
    if (op == CUBLAS_OP_N) return {data, operand.type, rows, cols, 1, operand.ld};
    return Matrix{data, operand.type, cols, rows, 1, operand.ld}.transposed();
  }

  Matmul product(std::int64_t index) const {
    const Matrix c = operand(gemm.c, CUBLAS_OP_N, gemm.m, gemm.n, index);
    return {operand(gemm.a, gemm.transa, gemm.m, gemm.k, index),
            operand(gemm.b, gemm.transb, gemm.k, gemm.n, index),
            c,
            c,
            alpha.value(),
            beta.value(),
            {},
            tf32};
  }

  std::vector<Access> parameters() const {
    std::vector<Access> accesses;
    alpha.add_to(accesses);
    beta.add_to(accesses);
    if (gemm.pointer_arrays) {
      for (const void* array : {gemm.a.data, gemm.b.data, gemm.c.data}) {
        accesses.push_back({Use::read, array, static_cast<std::size_t>(gemm.batch) * sizeof(void*)});
      }
    }
    return accesses;
  }

  std::vector<Access> matrices() const {
    std::vector<Access> accesses;
    for (std::int64_t index = 0; index < gemm.batch; ++index) {
      const Matmul op = product(index);
      if (op.alpha != 0 && gemm.k > 0)
        accesses.insert(accesses.end(), {access(Use::read, op.a), access(Use::read, op.b)});
      accesses.push_back(access(op.beta == 0 ? Use::write : Use::update, op.d));
    }
    return accesses;
  }
};

/// By the call or, for products of floats in float, by the handle.
bool allows_tf32(const cublasContext& handle, const Gemm& gemm) {
  return gemm.compute == CUBLAS_COMPUTE_32F_FAST_TF32 ||
         (gemm.compute == CUBLAS_COMPUTE_32F && gemm.a.type == CUDA_R_32F &&
          handle.math_mode == CUBLAS_TF32_TENSOR_OP_MATH);
}

}  // namespace

bool supported(cublasComputeType_t compute, cudaDataType_t a, cudaDataType_t b, cudaDataType_t c) {
  const bool halves = a == CUDA_R_16F || a == CUDA_R_16BF;
  switch (compute) {
    case CUBLAS_COMPUTE_64F:
    case CUBLAS_COMPUTE_64F_PEDANTIC:
      return a == CUDA_R_64F && b == CUDA_R_64F && c == CUDA_R_64F;
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC:
      if (halves) return a == b && (c == a || c == CUDA_R_32F);
      [[fallthrough]];
    case CUBLAS_COMPUTE_32F_FAST_16F:
    case CUBLAS_COMPUTE_32F_FAST_16BF:
    case CUBLAS_COMPUTE_32F_FAST_TF32:
      return a == CUDA_R_32F && b == CUDA_R_32F && c == CUDA_R_32F;
    default:
      return false;
  }
}

cudaDataType_t scale_type(cublasComputeType_t compute) {
  return compute == CUBLAS_COMPUTE_64F || compute == CUBLAS_COMPUTE_64F_PEDANTIC ? CUDA_R_64F : CUDA_R_32F;
}

cublasStatus_t run_gemm(cublasHandle_t handle, const Gemm& gemm) {
  if (const auto status = begin(handle, gemm.function); status != CUBLAS_STATUS_SUCCESS) return status;
  if (const auto status = validate(gemm); status != CUBLAS_STATUS_SUCCESS) return status;
  if (gemm.m == 0 || gemm.n == 0 || gemm.batch == 0) return CUBLAS_STATUS_SUCCESS;
  const auto type = scale_type(gemm.compute);
  const Batch batch{gemm, Scalar(gemm.alpha, type, handle->scalars_on_device()),
                    Scalar(gemm.beta, type, handle->scalars_on_device()), allows_tf32(*handle, gemm)};
  return queue(
      handle->stream, gemm.function, batch.parameters(), [batch] { return batch.matrices(); },
      [batch] {
        for (std::int64_t index = 0; index < batch.gemm.batch; ++index) run(batch.product(index));
      },
      2.0 * static_cast<double>(gemm.batch) * static_cast<double>(gemm.m) * static_cast<double>(gemm.n) *
          static_cast<double>(gemm.k),
      unit_of(gemm.a.type, batch.tf32));
}

}  // namespace miniparallel::simulator
