#pragma once

#include <cublasLt.h>

#include <compare>
#include <map>

namespace miniparallel::kernels::cuda {

/// `count` products d = a b, as cuBLAS sees them: column-major, d being (m, n) and a product of k terms.
/// Strides are those between columns, steps those from one product to the next.
struct ProductShape {
  cudaDataType_t type;
  cublasComputeType_t compute;
  cublasOperation_t a_operation, b_operation;
  int m, n, k, a_stride, b_stride, d_stride, count;
  cublasLtEpilogue_t epilogue;
  long long a_step, b_step, d_step;

  auto operator<=>(const ProductShape&) const = default;
};

/// A factor of a product, as cuBLAS reads it: of the numbers' type.
struct Factor {
  float as_float;
  double as_double;

  explicit Factor(int value) : as_float(static_cast<float>(value)), as_double(value) {}
  const void* of(cudaDataType_t type) const {
    return type == CUDA_R_64F ? static_cast<const void*>(&as_double) : &as_float;
  }
};

/// Where the numbers are. `bias`: m numbers, added to every column. `pre_activation`: as large as d, the
/// input of the activation. Either is null where the epilogue has none.
struct ProductMemory {
  const void *a, *b, *bias;
  void *d, *pre_activation;
};

/// How cuBLASLt makes a product with an epilogue. The descriptors are plain memory.
struct EpiloguePlan {
  bool exists = false;  ///< cuBLASLt has an algorithm
  cublasLtMatmulDescOpaque_t product;
  cublasLtMatrixLayoutOpaque_t a, b, d;
  cublasLtMatmulAlgo_t algorithm;
};

/// Plans by shape and alignment, so that only the first product of a kind asks for an algorithm.
class EpiloguePlans {
 public:
  /// Makes the products on the stream, with kWorkspaceBytes at `workspace`. False, and nothing is done, if
  /// cuBLASLt does not take them.
  bool multiply(cublasHandle_t handle, const ProductShape& shape, const ProductMemory& memory,
                void* workspace, cudaStream_t stream);

 private:
  struct Key {
    ProductShape shape;
    unsigned a, b, d;  ///< alignment in bytes; `d`: of the bias and of `pre_activation` too
    auto operator<=>(const Key&) const = default;
  };
  static EpiloguePlan make(cublasLtHandle_t handle, const Key& key);

  std::map<Key, EpiloguePlan> plans_;
};

}  // namespace miniparallel::kernels::cuda
