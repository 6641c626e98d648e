#pragma once
// One cublasLtMatmul as its descriptors state it, and which of them cuBLASLt accepts.
#include "cublaslt_descriptors.h"
#include "matmul.h"

namespace miniparallel::simulator {

/// The descriptors of a matmul, copied: the program may destroy them as soon as the call returns.
struct LtProblem {
  MatmulDescription desc;
  MatrixLayout a, b, c, d;

  std::int64_t rows() const { return static_cast<std::int64_t>(d.rows); }
  std::int64_t cols() const { return static_cast<std::int64_t>(d.cols); }
  Epilogue epilogue() const {
    return {static_cast<cublasLtEpilogue_t>(desc.epilogue), desc.bias, static_cast<cudaDataType_t>(d.type),
            desc.aux, desc.aux_ld};
  }
};

/// INVALID_VALUE for NULL descriptors; C's layout may be NULL and is D's then.
cublasStatus_t read_problem(cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                            cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, LtProblem& problem);

/// What the heuristic answers too. INVALID_VALUE: shapes, batches or leading dimensions that do not fit, an
/// auxiliary matrix whose leading dimension is below D's rows or not divisible by 128 (ReLU's bits) or 8
/// (GELU), another auxiliary type than D's, an empty matrix. NOT_SUPPORTED: other types and orders than
/// simulated, a transposed C, part of a matrix, BGRADA with a transposed A, BGRADB without a transposed B, an
/// epilogue on row-major D.
cublasStatus_t judge(const LtProblem& problem);

}  // namespace miniparallel::simulator
