#pragma once
// Matrix products as cuBLAS and cuBLASLt define them, on
// memory that the host can reach. No stream, no checking.
#include "miniparallel/simulator_clock.h"

#include <cublasLt.h>

#include <cstdint>

namespace miniparallel::simulator {

/// A matrix in memory that someone else owns: element (i, j) lies at data[i * row_stride + j * col_stride],
/// counted in elements, and one of the strides is 1.
struct Matrix {
  void* data = nullptr;
  cudaDataType_t type = CUDA_R_32F;
  std::int64_t rows = 0, cols = 0, row_stride = 1, col_stride = 1;

  /// The same memory with rows and columns exchanged.
  Matrix transposed() const { return {data, type, cols, rows, col_stride, row_stride}; }
};

/// What cublasLtMatmul does to alpha * A * B + beta * C before it becomes D, and the memory that this takes.
struct Epilogue {
  cublasLtEpilogue_t kind = CUBLASLT_EPILOGUE_DEFAULT;
  void* bias = nullptr;  ///< vector read by BIAS, written by BGRAD, BGRADA and BGRADB
  cudaDataType_t bias_type = CUDA_R_32F;
  void* aux = nullptr;      ///< ReLU's bit mask, or GELU's input as a column-major matrix of D's type
  std::int64_t aux_ld = 0;  ///< leading dimension of aux: in bits for ReLU, in elements for GELU

  bool has(unsigned bits) const { return (static_cast<unsigned>(kind) & bits) == bits; }
  bool is_default() const { return kind == CUBLASLT_EPILOGUE_DEFAULT; }
  bool relu() const { return has(CUBLASLT_EPILOGUE_RELU); }
  bool gelu() const { return has(CUBLASLT_EPILOGUE_GELU); }
  bool drelu() const { return has(CUBLASLT_EPILOGUE_DRELU); }
  bool dgelu() const { return has(CUBLASLT_EPILOGUE_DGELU); }
  bool bias_a() const { return has(CUBLASLT_EPILOGUE_BGRADA); }
  bool bias_b() const { return has(CUBLASLT_EPILOGUE_BGRADB); }
  bool reads_bias() const { return has(CUBLASLT_EPILOGUE_BIAS); }
  bool sums_rows() const {
    return has(16);
  }  // the bit that makes DRELU and DGELU DRELU_BGRAD and DGELU_BGRAD
  bool writes_bias() const { return sums_rows() || bias_a() || bias_b(); }
  bool reads_aux() const { return drelu() || dgelu(); }
  bool writes_aux() const { return has(128) && !reads_aux(); }
};

/// D = epilogue(alpha * A * B + beta * C), A being m x k, B k x n, C and D m x n; C and D may be the same
/// memory. C is not read if beta is 0, A and B are not read if alpha is 0, so NaN in them stays there
/// (reference BLAS). Sums are kept in double if D is double, else in float. With `tf32` float operands lose
/// the last 13 bits of their mantissa first, rounded to nearest.
struct Matmul {
  Matrix a, b, c, d;
  double alpha = 1, beta = 0;
  Epilogue epilogue;
  bool tf32 = false;
};

void run(const Matmul& matmul);

/// What a GPU multiplies matrices of this type with.
Unit unit_of(cudaDataType_t type, bool tf32);

}  // namespace miniparallel::simulator
