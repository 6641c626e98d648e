#include "cublas_context.h"
#include "cublas_gemm.h"
#include "cublaslt_problem.h"
#include "device_matrix.h"
#include "handles.h"

#include <cublasLt.h>

#include <cstdint>
#include <memory>
#include <vector>

/// NVIDIA's opaque type, defined: a handle has no state, only an identity.
struct cublasLtContext {};

using namespace miniparallel::simulator;

namespace {

/// Marks an algorithm that the heuristic returned.
constexpr std::uint64_t algorithm_mark = 0x6d696e6970617261;

/// A cuBLAS handle may stand for a cuBLASLt handle, as documented.
bool alive(cublasLtHandle_t handle) {
  return Handles<cublasLtContext>::instance().alive(handle) ||
         is_alive(reinterpret_cast<cublasHandle_t>(handle));
}

/// A judged matmul with its memory.
struct LtMatmul {
  LtProblem problem;
  Scalar alpha, beta;
  const void *a, *b, *c;
  void* d;

  static Matrix matrix(const MatrixLayout& layout, const void* data, std::int64_t index) {
    const auto type = static_cast<cudaDataType_t>(layout.type);
    const bool columns = layout.order == CUBLASLT_ORDER_COL;
    return {advanced(data, size_of(type), index * layout.batch_stride),
            type,
            static_cast<std::int64_t>(layout.rows),
            static_cast<std::int64_t>(layout.cols),
            columns ? 1 : layout.ld,
            columns ? layout.ld : 1};
  }

  static Matrix operand(const MatrixLayout& layout, std::int32_t op, const void* data, std::int64_t index) {
    const Matrix stored = matrix(layout, data, index);
    return op == CUBLAS_OP_N ? stored : stored.transposed();
  }

  bool bits() const { return problem.epilogue().relu() || problem.epilogue().drelu(); }

  Epilogue epilogue(std::int64_t index) const {
    const MatmulDescription& desc = problem.desc;
    Epilogue epilogue = problem.epilogue();
    epilogue.bias = advanced(epilogue.bias, size_of(epilogue.bias_type), index * desc.bias_batch_stride);
    epilogue.aux = bits()
                       ? advanced(epilogue.aux, 1, index * desc.aux_batch_stride / 8)
                       : advanced(epilogue.aux, size_of(epilogue.bias_type), index * desc.aux_batch_stride);
    return epilogue;
  }

  Matmul product(std::int64_t index) const {
    return {operand(problem.a, problem.desc.transa, a, index),
            operand(problem.b, problem.desc.transb, b, index),
            matrix(problem.c, c, index),
            matrix(problem.d, d, index),
            alpha.value(),
            beta.value(),
            epilogue(index),
            problem.desc.compute_type == CUBLAS_COMPUTE_32F_FAST_TF32};
  }

  double operations() const {
    const std::uint64_t inner = problem.desc.transa == CUBLAS_OP_N ? problem.a.cols : problem.a.rows;
    return 2.0 * problem.d.batch_count * static_cast<double>(problem.rows()) *
           static_cast<double>(problem.cols()) * static_cast<double>(inner);
  }

  std::vector<Access> scalars() const {
    std::vector<Access> accesses;
    alpha.add_to(accesses);
    beta.add_to(accesses);
    return accesses;
  }

  std::vector<Access> matrices() const {
    std::vector<Access> accesses;
    for (std::int64_t index = 0; index < problem.d.batch_count; ++index) {
      const Matmul op = product(index);
      if (op.alpha != 0 || op.epilogue.bias_a()) accesses.push_back(access(Use::read, op.a));
      if (op.alpha != 0 || op.epilogue.bias_b()) accesses.push_back(access(Use::read, op.b));
      if (op.beta != 0) accesses.push_back(access(Use::read, op.c));
      add_epilogue(op.epilogue, accesses);
      accesses.push_back(access(Use::write, op.d));
    }
    return accesses;
  }

  void add_epilogue(const Epilogue& epilogue, std::vector<Access>& accesses) const {
    const auto m = problem.rows(), n = problem.cols();
    const auto size = size_of(epilogue.bias_type);
    const auto length = static_cast<std::size_t>(epilogue.bias_b() ? n : m) * size;
    if (epilogue.reads_bias()) accesses.push_back({Use::read, epilogue.bias, length});
    if (epilogue.writes_bias()) accesses.push_back({Use::write, epilogue.bias, length});
    if (!epilogue.reads_aux() && !epilogue.writes_aux()) return;
    const auto bytes = [&](std::int64_t elements) {
      return bits() ? static_cast<std::size_t>((elements + 7) / 8)
                    : static_cast<std::size_t>(elements) * size;
    };
    accesses.push_back({epilogue.reads_aux() ? Use::read : Use::write, epilogue.aux, bytes(m),
                        bytes(epilogue.aux_ld), static_cast<std::size_t>(n)});
  }
};

/// What only the call itself can know: the addresses.
cublasStatus_t judge_memory(const LtMatmul& call, const cublasLtMatmulAlgo_t* algorithm,
                            const void* workspace) {
  const Epilogue epilogue = call.problem.epilogue();
  if (call.a == nullptr || call.b == nullptr || call.d == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (call.c == nullptr && call.beta.known_nonzero()) return CUBLAS_STATUS_INVALID_VALUE;
  if (call.c == call.d && call.problem.c.ld != call.problem.d.ld) return CUBLAS_STATUS_INVALID_VALUE;
  if (algorithm != nullptr && algorithm->data[0] != algorithm_mark) return CUBLAS_STATUS_INVALID_VALUE;
  if (reinterpret_cast<std::uintptr_t>(workspace) % 256 != 0) return CUBLAS_STATUS_INVALID_VALUE;
  if (epilogue.writes_aux() && epilogue.aux == nullptr) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (epilogue.reads_aux() && epilogue.aux == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if ((epilogue.reads_bias() || epilogue.writes_bias()) && epilogue.bias == nullptr)
    return CUBLAS_STATUS_INVALID_VALUE;
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (device_count() == 0 || sticky_error(current_device()) != cudaSuccess)
    return CUBLAS_STATUS_NOT_INITIALIZED;
  if (library_call_fails("cublasLtCreate")) return CUBLAS_STATUS_ALLOC_FAILED;
  *handle = Handles<cublasLtContext>::instance().add(std::make_unique<cublasLtContext>());
  return CUBLAS_STATUS_SUCCESS;
}

/// Waits for the device, as documented.
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (Handles<cublasLtContext>::instance().remove(handle) == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  return wait_for_device();
}

size_t cublasLtGetVersion() { return CUBLAS_VERSION; }
const char* cublasLtGetStatusName(cublasStatus_t status) { return cublasGetStatusName(status); }
const char* cublasLtGetStatusString(cublasStatus_t status) { return cublasGetStatusString(status); }

/// One algorithm, without a workspace, for every problem that judge() accepts.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[], int* returned) {
  if (!alive(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (preference == nullptr || requested <= 0 || results == nullptr || returned == nullptr) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  *returned = 0;
  LtProblem problem;
  if (const auto status = read_problem(desc, a, b, c, d, problem); status != CUBLAS_STATUS_SUCCESS)
    return status;
  if (const auto status = judge(problem); status != CUBLAS_STATUS_SUCCESS) return status;
  results[0] = {};
  results[0].algo.data[0] = algorithm_mark;
  results[0].state = CUBLAS_STATUS_SUCCESS;
  results[0].wavesCount = 1;
  *returned = 1;
  return CUBLAS_STATUS_SUCCESS;
}

/// D = epilogue(alpha * op(A) * op(B) + beta * C) for each matrix of the batch, queued on the stream. The
/// workspace is not touched. alpha and beta are one number each, in host or device memory.
cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void* alpha,
                              const void* A, cublasLtMatrixLayout_t a, const void* B,
                              cublasLtMatrixLayout_t b, const void* beta, const void* C,
                              cublasLtMatrixLayout_t c, void* D, cublasLtMatrixLayout_t d,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace, size_t,
                              cudaStream_t stream) {
  if (!alive(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (const auto status = begin(stream, "cublasLtMatmul"); status != CUBLAS_STATUS_SUCCESS) return status;
  LtProblem problem;
  if (const auto status = read_problem(desc, a, b, c, d, problem); status != CUBLAS_STATUS_SUCCESS)
    return status;
  if (const auto status = judge(problem); status != CUBLAS_STATUS_SUCCESS) return status;
  if (alpha == nullptr || beta == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const auto mode = problem.desc.pointer_mode;
  if (mode != CUBLASLT_POINTER_MODE_HOST && mode != CUBLASLT_POINTER_MODE_DEVICE)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool on_device = mode == CUBLASLT_POINTER_MODE_DEVICE;
  const auto type = static_cast<cudaDataType_t>(problem.desc.scale_type);
  const LtMatmul call{problem, Scalar(alpha, type, on_device), Scalar(beta, type, on_device), A, B, C, D};
  if (const auto status = judge_memory(call, algorithm, workspace); status != CUBLAS_STATUS_SUCCESS)
    return status;
  return queue(
      stream, "cublasLtMatmul", call.scalars(), [call] { return call.matrices(); },
      [call] {
        for (std::int64_t index = 0; index < call.problem.d.batch_count; ++index) run(call.product(index));
      },
      call.operations(),
      unit_of(static_cast<cudaDataType_t>(problem.a.type),
              problem.desc.compute_type == CUBLAS_COMPUTE_32F_FAST_TF32));
}

}  // extern "C"
