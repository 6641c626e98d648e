#include "cublaslt_problem.h"

#include "cublas_gemm.h"

#include <algorithm>
#include <climits>
#include <initializer_list>

namespace miniparallel::simulator {
namespace {

bool any_of(std::uint32_t value, std::initializer_list<std::uint32_t> values) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

bool known_operation(std::int32_t op) { return op == CUBLAS_OP_N || op == CUBLAS_OP_T || op == CUBLAS_OP_C; }

bool known_epilogue(std::uint32_t epilogue) {
  return any_of(
      epilogue,
      {CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_RELU, CUBLASLT_EPILOGUE_RELU_BIAS,
       CUBLASLT_EPILOGUE_RELU_AUX, CUBLASLT_EPILOGUE_RELU_AUX_BIAS, CUBLASLT_EPILOGUE_GELU,
       CUBLASLT_EPILOGUE_GELU_BIAS, CUBLASLT_EPILOGUE_GELU_AUX, CUBLASLT_EPILOGUE_GELU_AUX_BIAS,
       CUBLASLT_EPILOGUE_DRELU, CUBLASLT_EPILOGUE_DRELU_BGRAD, CUBLASLT_EPILOGUE_DGELU,
       CUBLASLT_EPILOGUE_DGELU_BGRAD, CUBLASLT_EPILOGUE_BGRADA, CUBLASLT_EPILOGUE_BGRADB});
}

bool simulated(const MatrixLayout& layout) {
  return (layout.order == CUBLASLT_ORDER_COL || layout.order == CUBLASLT_ORDER_ROW) &&
         layout.batch_mode == CUBLASLT_BATCH_MODE_STRIDED &&
         std::max({layout.rows, layout.cols, static_cast<std::uint64_t>(layout.ld)}) <= INT_MAX;
}

bool plausible(const MatrixLayout& layout, std::int32_t batch) {
  const auto run = static_cast<std::int64_t>(layout.order == CUBLASLT_ORDER_COL ? layout.rows : layout.cols);
  return run > 0 && layout.rows > 0 && layout.cols > 0 && layout.ld >= run && layout.batch_count == batch;
}

/// C's leading dimension may also be 0: one column (or row) for all.
bool fits(const MatrixLayout& c, const MatrixLayout& d) {
  const bool same = c.type == d.type && c.rows == d.rows && c.cols == d.cols && c.order == d.order;
  return same && c.batch_count == d.batch_count && (c.ld == 0 || plausible(c, d.batch_count));
}

bool shapes_fit(const LtProblem& p) {
  const bool ta = p.desc.transa != CUBLAS_OP_N, tb = p.desc.transb != CUBLAS_OP_N;
  const auto m = ta ? p.a.cols : p.a.rows, k = ta ? p.a.rows : p.a.cols;
  const auto k_of_b = tb ? p.b.cols : p.b.rows, n = tb ? p.b.rows : p.b.cols;
  return m == p.d.rows && n == p.d.cols && k == k_of_b;
}

bool types_supported(const LtProblem& p) {
  const auto compute = static_cast<cublasComputeType_t>(p.desc.compute_type);
  const auto type = [](const MatrixLayout& layout) { return static_cast<cudaDataType_t>(layout.type); };
  const bool same_bias = p.desc.bias_type == -1 || p.desc.bias_type == static_cast<std::int32_t>(p.d.type);
  return supported(compute, type(p.a), type(p.b), type(p.d)) && p.desc.scale_type == scale_type(compute) &&
         same_bias;
}

bool auxiliary_fits(const LtProblem& p) {
  const Epilogue epilogue = p.epilogue();
  if (!epilogue.reads_aux() && !epilogue.writes_aux()) return true;
  const bool bits = epilogue.relu() || epilogue.drelu();
  const std::int64_t unit = bits ? 128 : 8;
  const bool same_type =
      bits || p.desc.aux_type == -1 || p.desc.aux_type == static_cast<std::int32_t>(p.d.type);
  return same_type && p.desc.aux_ld >= p.rows() && p.desc.aux_ld % unit == 0 &&
         p.desc.aux_batch_stride % unit == 0;
}

bool epilogue_supported(const LtProblem& p) {
  const Epilogue epilogue = p.epilogue();
  if (!known_epilogue(p.desc.epilogue)) return false;
  if (!epilogue.is_default() && p.d.order == CUBLASLT_ORDER_ROW) return false;
  if (epilogue.bias_a() && p.desc.transa != CUBLAS_OP_N) return false;
  return !(epilogue.bias_b() && p.desc.transb == CUBLAS_OP_N);
}

}  // namespace

cublasStatus_t read_problem(cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                            cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, LtProblem& problem) {
  if (desc == nullptr || a == nullptr || b == nullptr || d == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  problem = {contents(desc), contents(a), contents(b), contents(c == nullptr ? d : c), contents(d)};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t judge(const LtProblem& p) {
  if (!known_operation(p.desc.transa) || !known_operation(p.desc.transb)) return CUBLAS_STATUS_INVALID_VALUE;
  if (p.desc.transc != CUBLAS_OP_N || p.desc.fill_mode != CUBLAS_FILL_MODE_FULL)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  for (const MatrixLayout* layout : {&p.a, &p.b, &p.c, &p.d}) {
    if (!simulated(*layout)) return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  const auto batch = p.d.batch_count;
  const bool layouts_fit =
      batch > 0 && plausible(p.a, batch) && plausible(p.b, batch) && plausible(p.d, batch);
  if (!layouts_fit || !fits(p.c, p.d) || !shapes_fit(p)) return CUBLAS_STATUS_INVALID_VALUE;
  if (!types_supported(p) || !epilogue_supported(p)) return CUBLAS_STATUS_NOT_SUPPORTED;
  return auxiliary_fits(p) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

}  // namespace miniparallel::simulator
