#include "kernels/matmul.h"

#include <cublas_v2.h>
#include <miniparallel/error.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/cublas.h"
#include "kernels/cuda/device_guard.h"
#include "kernels/cuda/workspace.h"

// Row-major c = a b is column-major c^T = b^T a^T: cuBLAS gets b first and reads every matrix as its
// transpose.

namespace miniparallel::kernels::cuda {
namespace {

int to_blas(std::int64_t size) {
  if (size > std::numeric_limits<int>::max())
    throw Error("matmul: a size or stride of " + std::to_string(size) +
                " is more than cuBLAS takes (2^31 - 1); split the operand");
  return static_cast<int>(size);
}

cublasOperation_t operation(const Matrix& matrix) { return matrix.transposed ? CUBLAS_OP_T : CUBLAS_OP_N; }

ProductShape shape_of(DType dtype, const MatmulArgs& args, std::int64_t count, const std::int64_t* steps) {
  const auto stride = [](std::int64_t of_matrix, std::int64_t columns) {
    return to_blas(std::max({of_matrix, columns, std::int64_t{1}}));
  };
  const auto single = args.allow_tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  return {.type = dtype == float32 ? CUDA_R_32F : CUDA_R_64F,
          .compute = dtype == float32 ? single : CUBLAS_COMPUTE_64F,
          .a_operation = operation(args.b),
          .b_operation = operation(args.a),
          .m = to_blas(args.columns),
          .n = to_blas(args.rows),
          .k = to_blas(args.inner),
          .a_stride = stride(args.b.stride, args.b.transposed ? args.inner : args.columns),
          .b_stride = stride(args.a.stride, args.a.transposed ? args.rows : args.inner),
          .d_stride = stride(args.c_stride, args.columns),
          .count = to_blas(count),
          .a_step = steps[2],
          .b_step = steps[1],
          .d_step = steps[0]};
}

void multiply_plainly(const ProductShape& s, const ProductMemory& at, int beta, cublasHandle_t handle) {
  const Factor one(1), of_d(beta);
  CUBLAS_CHECK(cublasGemmStridedBatchedEx(handle, s.a_operation, s.b_operation, s.m, s.n, s.k, one.of(s.type),
                                          at.a, s.type, s.a_stride, s.a_step, at.b, s.type, s.b_stride,
                                          s.b_step, of_d.of(s.type), at.d, s.type, s.d_stride, s.d_step,
                                          s.count, s.compute, CUBLAS_GEMM_DEFAULT));
}

/// Calls f(count, steps, offsets) for each run along the innermost dimension of the batch, which is one call
/// of cuBLAS; steps and offsets are those of c, a and b.
template <class F>
void for_each_run(const Layout& batch, const F& f) {
  const int inner = batch.rank - 1;
  const std::int64_t run = batch.rank == 0 ? 1 : batch.sizes[inner];
  std::int64_t steps[3] = {};
  for (int k = 0; k < 3 && batch.rank > 0; ++k) steps[k] = batch.strides[k][inner];
  const std::int64_t runs = run == 0 ? 0 : batch.numel() / run;
  for (std::int64_t i = 0; i < runs; ++i) {
    std::int64_t offsets[3] = {}, rest = i;
    for (int d = inner - 1; d >= 0; --d) {
      for (int k = 0; k < 3; ++k) offsets[k] += rest % batch.sizes[d] * batch.strides[k][d];
      rest /= batch.sizes[d];
    }
    f(run, steps, offsets);
  }
}

/// c = the bias in every row of `count` matrices `step` elements apart; the product is then added.
void start_with_bias(DType dtype, const MatmulArgs& args, std::int64_t count, std::int64_t step,
                     Stream stream) {
  ElementwiseArgs copy;
  copy.layout = make_layout({count, args.rows, args.columns}, {{step, args.c_stride, 1}, {0, 0, 1}});
  copy.operands[0] = args.c;
  copy.operands[1] = const_cast<void*>(args.bias);
  elementwise().convert(dtype, dtype, copy, stream);
}

void multiply(DType dtype, const MatmulArgs& args, Stream stream) {
  if (args.rows == 0 || args.columns == 0) return;
  const miniparallel::cuda::DeviceGuard guard(stream.device);
  const auto bytes = static_cast<std::int64_t>(size_of(dtype));
  for_each_run(args.batch, [&](std::int64_t count, const std::int64_t* steps, const std::int64_t* offsets) {
    const ProductShape shape = shape_of(dtype, args, count, steps);
    MatmulArgs run = args;
    run.a.data = static_cast<const std::byte*>(args.a.data) + offsets[1] * bytes;
    run.b.data = static_cast<const std::byte*>(args.b.data) + offsets[2] * bytes;
    run.c = static_cast<std::byte*>(args.c) + offsets[0] * bytes;
    const ProductMemory memory{run.b.data, run.a.data, args.bias, run.c};
    const Cublas cublas(stream);
    if (args.bias != nullptr) {
      if (args.inner > 0 && cublas.bias_plans().multiply(cublas.handle(), shape, memory, workspace(stream),
                                                         static_cast<cudaStream_t>(stream.handle)))
        return;
      start_with_bias(dtype, run, count, steps[0], stream);
    }
    multiply_plainly(shape, memory, args.bias == nullptr ? args.beta : 1, cublas.handle());
  });
}

}  // namespace

const Matmul& matmul() {
  static constexpr Matmul launchers{.multiply = multiply};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
