#include "kernels/matmul.h"

#include <cublas_v2.h>
#include <miniparallel/error.h>

#include <algorithm>
#include <limits>
#include <string>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/cublas.h"
#include "kernels/cuda/device_guard.h"

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

template <class T>
constexpr auto gemm = nullptr;
template <>
constexpr auto gemm<float> = cublasSgemmStridedBatched;
template <>
constexpr auto gemm<double> = cublasDgemmStridedBatched;

/// `count` products; matrices of c, a and b are `steps` elements apart.
template <class T>
void multiply_run(const MatmulArgs& args, const std::int64_t* offsets, std::int64_t count,
                  const std::int64_t* steps, cublasHandle_t handle) {
  const T alpha = 1, beta = static_cast<T>(args.beta);
  const std::int64_t a_columns = args.a.transposed ? args.rows : args.inner;
  const std::int64_t b_columns = args.b.transposed ? args.inner : args.columns;
  CUBLAS_CHECK(
      gemm<T>(handle, operation(args.b), operation(args.a), to_blas(args.columns), to_blas(args.rows),
              to_blas(args.inner), &alpha, static_cast<const T*>(args.b.data) + offsets[2],
              to_blas(std::max({args.b.stride, b_columns, std::int64_t{1}})), steps[2],
              static_cast<const T*>(args.a.data) + offsets[1],
              to_blas(std::max({args.a.stride, a_columns, std::int64_t{1}})), steps[1], &beta,
              static_cast<T*>(args.c) + offsets[0],
              to_blas(std::max({args.c_stride, args.columns, std::int64_t{1}})), steps[0], to_blas(count)));
}

/// The innermost dimension of the batch is one call.
template <class T>
void multiply_batch(const MatmulArgs& args, cublasHandle_t handle) {
  const Layout& batch = args.batch;
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
    multiply_run<T>(args, offsets, run, steps, handle);
  }
}

/// c = the bias in every row: the product is then added.
void start_with_bias(DType dtype, const MatmulArgs& args, Stream stream) {
  ElementwiseArgs copy;
  Shape shape, to, from;
  for (int d = 0; d < args.batch.rank; ++d) {
    shape.push_back(args.batch.sizes[d]);
    to.push_back(args.batch.strides[0][d]);
    from.push_back(0);
  }
  shape.push_back(args.rows), to.push_back(args.c_stride), from.push_back(0);
  shape.push_back(args.columns), to.push_back(1), from.push_back(1);
  copy.layout = make_layout(shape, {to, from});
  copy.operands[0] = args.c;
  copy.operands[1] = const_cast<void*>(args.bias);
  elementwise().convert(dtype, dtype, copy, stream);
}

void multiply(DType dtype, const MatmulArgs& args, Stream stream) {
  if (args.rows == 0 || args.columns == 0) return;
  MatmulArgs product = args;
  if (args.bias != nullptr) {
    start_with_bias(dtype, args, stream);
    product.beta = 1;
  }
  const miniparallel::cuda::DeviceGuard guard(stream.device);
  const Cublas cublas(stream);
  (dtype == float32 ? multiply_batch<float> : multiply_batch<double>)(product, cublas.handle());
}

}  // namespace

const Matmul& matmul() {
  static constexpr Matmul launchers{.multiply = multiply};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
