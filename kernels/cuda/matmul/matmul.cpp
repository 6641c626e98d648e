#include "kernels/matmul.h"

#include <miniparallel/error.h>

#include "kernels/activate.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/device_guard.h"
#include "kernels/cuda/device/workspace.h"
#include "kernels/cuda/matmul/cublas.h"
#include "kernels/cuda/matmul/epilogue_gradient.h"

#include <cublas_v2.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>

// Row-major c = a b is column-major c^T = b^T a^T: cuBLAS
// gets b first and reads every matrix as its transpose.

namespace miniparallel::kernels::cuda {
namespace {

int to_blas(std::int64_t size) {
  if (size > std::numeric_limits<int>::max())
    throw Error("matmul: a size or stride of " + std::to_string(size) +
                " is more than cuBLAS takes (2^31 - 1); split the operand");
  return static_cast<int>(size);
}

cublasOperation_t operation(const Matrix& matrix) { return matrix.transposed ? CUBLAS_OP_T : CUBLAS_OP_N; }

cublasLtEpilogue_t epilogue_of(const MatmulArgs& args) {
  const bool bias = args.bias != nullptr;
  switch (args.activation) {
    case Activation::none:
      return bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    case Activation::relu:
      return bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    case Activation::gelu_tanh:
      break;
  }
  if (args.pre_activation != nullptr)
    return bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
  return bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
}

ProductMemory memory_of(const MatmulArgs& args) {
  return {.a = args.b.data,
          .b = args.a.data,
          .bias = args.bias,
          .d = args.c,
          .pre_activation = args.pre_activation};
}

cudaDataType_t type_of(DType dtype) {
  switch (dtype) {
    case float16:
      return CUDA_R_16F;
    case bfloat16:
      return CUDA_R_16BF;
    case float32:
      return CUDA_R_32F;
    default:
      return CUDA_R_64F;
  }
}

/// 16-bit types are summed in float32.
cublasComputeType_t compute_of(DType dtype, bool allow_tf32) {
  if (dtype == float64) return CUBLAS_COMPUTE_64F;
  return dtype == float32 && allow_tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

ProductShape shape_of(DType dtype, const MatmulArgs& args, std::int64_t count, const std::int64_t* steps) {
  const auto stride = [](std::int64_t of_matrix, std::int64_t columns) {
    return to_blas(std::max({of_matrix, columns, std::int64_t{1}}));
  };
  return {.type = type_of(dtype),
          .compute = compute_of(dtype, args.allow_tf32),
          .a_operation = operation(args.b),
          .b_operation = operation(args.a),
          .m = to_blas(args.columns),
          .n = to_blas(args.rows),
          .k = to_blas(args.inner),
          .a_stride = stride(args.b.stride, args.b.transposed ? args.inner : args.columns),
          .b_stride = stride(args.a.stride, args.a.transposed ? args.rows : args.inner),
          .d_stride = stride(args.c_stride, args.columns),
          .count = to_blas(count),
          .epilogue = epilogue_of(args),
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

/// c = the bias in every row; the product is then added.
void start_with_bias(DType dtype, const MatmulArgs& run, const ProductShape& shape, Stream stream) {
  ElementwiseArgs copy;
  copy.layout =
      make_layout({shape.count, run.rows, run.columns}, {{shape.d_step, run.c_stride, 1}, {0, 0, 1}});
  copy.operands[0] = run.c;
  copy.operands[1] = const_cast<void*>(run.bias);
  elementwise().convert(dtype, dtype, copy, stream);
}

/// One run. What cuBLASLt cannot do at the end of a product becomes a separate pass, the activation first.
void multiply_run(DType dtype, const MatmulArgs& run, std::int64_t count, const std::int64_t* steps,
                  const Cublas& cublas, Stream stream) {
  const ProductShape shape = shape_of(dtype, run, count, steps);
  const ProductMemory memory = memory_of(run);
  if (shape.epilogue == CUBLASLT_EPILOGUE_DEFAULT)
    return multiply_plainly(shape, memory, run.beta, cublas.handle());
  if (run.inner > 0 && cublas.epilogue_plans().multiply(cublas.handle(), shape, memory, workspace(stream),
                                                        static_cast<cudaStream_t>(stream.handle)))
    return;
  if (run.activation == Activation::none) {
    start_with_bias(dtype, run, shape, stream);
    return multiply_plainly(shape, memory, 1, cublas.handle());
  }
  MatmulArgs product = run;
  product.activation = Activation::none;
  if (run.pre_activation != nullptr) product.c = std::exchange(product.pre_activation, nullptr);
  multiply_run(dtype, product, count, steps, cublas, stream);
  activate(elementwise(), dtype, run, count, steps[0], stream);
}

void multiply(DType dtype, const MatmulArgs& args, Stream stream) {
  if (args.rows == 0 || args.columns == 0) return;
  const miniparallel::cuda::DeviceGuard guard(stream.device);
  const auto bytes = static_cast<std::int64_t>(size_of(dtype));
  for_each_run(args.batch, [&](std::int64_t count, const std::int64_t* steps, const std::int64_t* offsets) {
    MatmulArgs run = args;
    run.a.data = static_cast<const std::byte*>(args.a.data) + offsets[1] * bytes;
    run.b.data = static_cast<const std::byte*>(args.b.data) + offsets[2] * bytes;
    run.c = static_cast<std::byte*>(args.c) + offsets[0] * bytes;
    if (args.pre_activation != nullptr)
      run.pre_activation = static_cast<std::byte*>(args.pre_activation) + offsets[0] * bytes;
    multiply_run(dtype, run, count, steps, Cublas(stream), stream);
  });
}

}  // namespace

const Matmul& matmul() {
  static constexpr Matmul launchers{.multiply = multiply, .epilogue_gradient = epilogue_gradient};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
