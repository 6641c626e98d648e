#pragma once
// What lies in cuBLASLt's opaque descriptors.
#include <cublasLt.h>

#include <cstdint>

namespace miniparallel::simulator {

struct MatrixLayout {
  std::uint32_t type;
  std::int32_t order = CUBLASLT_ORDER_COL;
  std::uint64_t rows, cols;
  std::int64_t ld;
  std::int64_t batch_stride = 0;
  std::int32_t batch_count = 1;
  std::uint32_t batch_mode = CUBLASLT_BATCH_MODE_STRIDED;
};

struct MatmulDescription {
  std::int32_t compute_type, scale_type;
  std::int32_t pointer_mode = CUBLASLT_POINTER_MODE_HOST;
  std::int32_t transa = CUBLAS_OP_N, transb = CUBLAS_OP_N, transc = CUBLAS_OP_N;
  std::int32_t fill_mode = CUBLAS_FILL_MODE_FULL;
  std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  void* bias = nullptr;
  std::int64_t bias_batch_stride = 0;
  void* aux = nullptr;
  std::int64_t aux_ld = 0, aux_batch_stride = 0;
  std::int32_t aux_type = -1, bias_type = -1;
  std::int32_t multiprocessors = 0;
  std::int8_t fast_accumulation = 0;
};

struct MatmulPreference {
  std::uint64_t workspace_bytes = 0;
  std::uint64_t implementation_mask = ~std::uint64_t{0};
  std::uint32_t search_mode = CUBLASLT_SEARCH_BEST_FIT;
  std::uint32_t reduction_scheme_mask = CUBLASLT_REDUCTION_SCHEME_MASK;
  std::uint32_t alignment_a = 256, alignment_b = 256, alignment_c = 256, alignment_d = 256;
  float waves = 0;
};

inline MatrixLayout& contents(cublasLtMatrixLayout_t layout) {
  return *reinterpret_cast<MatrixLayout*>(layout->data);
}
inline MatmulDescription& contents(cublasLtMatmulDesc_t desc) {
  return *reinterpret_cast<MatmulDescription*>(desc->data);
}
inline MatmulPreference& contents(cublasLtMatmulPreference_t preference) {
  return *reinterpret_cast<MatmulPreference*>(preference->data);
}

}  // namespace miniparallel::simulator
