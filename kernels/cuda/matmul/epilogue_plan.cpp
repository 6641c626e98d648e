#include "kernels/cuda/matmul/epilogue_plan.h"

#include "kernels/cuda/device/workspace.h"
#include "kernels/cuda/matmul/check_cublas.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <utility>

namespace miniparallel::kernels::cuda {
namespace {

constexpr std::size_t kMaxPlans = 1024;  // of shapes that change all the time

bool is_gelu(cublasLtEpilogue_t epilogue) {
  return epilogue == CUBLASLT_EPILOGUE_GELU || epilogue == CUBLASLT_EPILOGUE_GELU_BIAS ||
         epilogue == CUBLASLT_EPILOGUE_GELU_AUX || epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
}

/// Whether the input of the activation is kept.
bool keeps_input(cublasLtEpilogue_t epilogue) {
  return epilogue == CUBLASLT_EPILOGUE_GELU_AUX || epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
}

/// The largest power of two, up to cuBLASLt's 256, that divides the address; of null 256.
unsigned alignment_of(const void* address) {
  const auto value = reinterpret_cast<std::uintptr_t>(address);
  return 1u << std::min(std::countr_zero(value), 8);
}

template <class Value>
void set(cublasLtMatmulDescOpaque_t& product, cublasLtMatmulDescAttributes_t id, const Value& value) {
  const auto address = static_cast<const void*>(&value);  // also of a pointer
  CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(&product, id, address, sizeof(value)));
}

void set_layout(cublasLtMatrixLayoutOpaque_t& layout, cudaDataType_t type, cublasOperation_t operation,
                int rows, int columns, int stride, int count, std::int64_t step) {
  if (operation == CUBLAS_OP_T) std::swap(rows, columns);
  CUBLAS_CHECK(cublasLtMatrixLayoutInit(&layout, type, static_cast<std::uint64_t>(rows),
                                        static_cast<std::uint64_t>(columns), stride));
  CUBLAS_CHECK(
      cublasLtMatrixLayoutSetAttribute(&layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof(count)));
  CUBLAS_CHECK(cublasLtMatrixLayoutSetAttribute(&layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step,
                                                sizeof(step)));
}

/// The resources that an algorithm may use.
cublasLtMatmulPreferenceOpaque_t preference_for(unsigned a, unsigned b, unsigned d) {
  cublasLtMatmulPreferenceOpaque_t preference;
  CUBLAS_CHECK(cublasLtMatmulPreferenceInit(&preference));
  const auto set_to = [&](cublasLtMatmulPreferenceAttributes_t id, auto value) {
    CUBLAS_CHECK(cublasLtMatmulPreferenceSetAttribute(&preference, id, &value, sizeof(value)));
  };
  set_to(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{kWorkspaceBytes});
  set_to(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, std::uint32_t{a});
  set_to(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, std::uint32_t{b});
  set_to(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, std::uint32_t{d});
  set_to(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, std::uint32_t{d});
  return preference;
}

}  // namespace

EpiloguePlan EpiloguePlans::make(cublasLtHandle_t handle, const Key& key) {
  const ProductShape& s = key.shape;
  EpiloguePlan plan;
  if (is_gelu(s.epilogue) && s.type == CUDA_R_64F) return plan;  // exact to 8e-9 only
  // As cuBLASLt documents, of the strides where the input is kept; its address is aligned like theirs.
  if (keeps_input(s.epilogue) && (s.d_stride % 8 != 0 || s.d_step % 8 != 0 || key.d < 16)) return plan;
  CUBLAS_CHECK(
      cublasLtMatmulDescInit(&plan.product, s.compute, s.type == CUDA_R_64F ? CUDA_R_64F : CUDA_R_32F));
  set(plan.product, CUBLASLT_MATMUL_DESC_TRANSA, s.a_operation);
  set(plan.product, CUBLASLT_MATMUL_DESC_TRANSB, s.b_operation);
  set(plan.product, CUBLASLT_MATMUL_DESC_EPILOGUE, s.epilogue);
  if (keeps_input(s.epilogue)) {
    set(plan.product, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, std::int64_t{s.d_stride});
    set(plan.product, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, std::int64_t{s.d_step});
  }
  set_layout(plan.a, s.type, s.a_operation, s.m, s.k, s.a_stride, s.count, s.a_step);
  set_layout(plan.b, s.type, s.b_operation, s.k, s.n, s.b_stride, s.count, s.b_step);
  set_layout(plan.d, s.type, CUBLAS_OP_N, s.m, s.n, s.d_stride, s.count, s.d_step);
  cublasLtMatmulPreferenceOpaque_t preference = preference_for(key.a, key.b, key.d);
  cublasLtMatmulHeuristicResult_t found;
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      handle, &plan.product, &plan.a, &plan.b, &plan.d, &plan.d, &preference, 1, &found, &count);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return plan;
  CUBLAS_CHECK(status);
  plan.exists = count == 1;
  if (plan.exists) plan.algorithm = found.algo;
  return plan;
}

bool EpiloguePlans::multiply(cublasHandle_t handle, const ProductShape& shape, const ProductMemory& memory,
                             void* workspace, cudaStream_t stream) {
  const auto lt = reinterpret_cast<cublasLtHandle_t>(handle);  // as cuBLAS documents
  const Key key{
      shape, alignment_of(memory.a), alignment_of(memory.b),
      std::min({alignment_of(memory.d), alignment_of(memory.bias), alignment_of(memory.pre_activation)})};
  auto at = plans_.find(key);
  if (at == plans_.end()) {
    if (plans_.size() == kMaxPlans) plans_.clear();
    at = plans_.emplace(key, make(lt, key)).first;
  }
  EpiloguePlan& plan = at->second;
  if (!plan.exists) return false;
  if (memory.bias != nullptr) set(plan.product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, memory.bias);
  if (memory.pre_activation != nullptr)
    set(plan.product, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, memory.pre_activation);
  const Factor one(1), zero(0);
  CUBLAS_CHECK(cublasLtMatmul(lt, &plan.product, one.of(shape.type), memory.a, &plan.a, memory.b, &plan.b,
                              zero.of(shape.type), memory.d, &plan.d, memory.d, &plan.d, &plan.algorithm,
                              workspace, kWorkspaceBytes, stream));
  return true;
}

}  // namespace miniparallel::kernels::cuda
