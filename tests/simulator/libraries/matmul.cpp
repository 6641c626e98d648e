#include "matmul.h"

#include "epilogue.h"
#include "number.h"

#include <cblas.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <type_traits>
#include <vector>

namespace miniparallel::simulator {
namespace {

/// What cblas needs to know of an operand that is stored in the type it calculates in.
template <class Compute>
struct Operand {
  const Compute* data;
  CBLAS_TRANSPOSE transposed;
  int ld;
};

template <class Compute>
Operand<Compute> operand(const Matrix& matrix) {
  const bool columns = matrix.row_stride == 1;
  // A matrix of one column may have any stride between columns; cblas insists on a plausible one.
  const auto ld =
      columns ? std::max(matrix.col_stride, matrix.rows) : std::max(matrix.row_stride, matrix.cols);
  return {static_cast<const Compute*>(matrix.data), columns ? CblasNoTrans : CblasTrans,
          static_cast<int>(std::max<std::int64_t>(ld, 1))};
}

/// As a tensor core reads a float: half of the last bit that it has is added, the rest cut off.
float to_tf32(float x) {
  if (!std::isfinite(x)) return x;
  return std::bit_cast<float>((std::bit_cast<std::uint32_t>(x) + 0x1000u) & 0xffffe000u);
}
double to_tf32(double x) { return x; }

/// The matrix itself if it is stored as Compute, else a converted copy that `buffer` holds.
template <class Compute>
Matrix as_compute(const Matrix& matrix, bool tf32, std::vector<Compute>& buffer) {
  constexpr auto compute_type = std::is_same_v<Compute, double> ? CUDA_R_64F : CUDA_R_32F;
  if (matrix.type == compute_type && !tf32) return matrix;
  buffer.resize(matrix.rows * matrix.cols);
  with_type(matrix.type, [&](auto zero) {
    const auto* source = static_cast<const decltype(zero)*>(matrix.data);
    auto* target = buffer.data();
    for (std::int64_t j = 0; j < matrix.cols; ++j) {
      for (std::int64_t i = 0; i < matrix.rows; ++i) {
        const auto value = convert<Compute>(source[i * matrix.row_stride + j * matrix.col_stride]);
        *target++ = tf32 ? to_tf32(value) : value;
      }
    }
  });
  return {buffer.data(), compute_type, matrix.rows, matrix.cols, 1, matrix.rows};
}

/// result = alpha * A * B + beta * result, of op's alpha, A and B; the result is column-major.
template <class Compute>
void multiply(const Matmul& op, Compute beta, Compute* result, std::int64_t ld) {
  const Matrix &a = op.a, &b = op.b;
  const auto alpha = static_cast<Compute>(op.alpha);
  std::vector<Compute> a_buffer, b_buffer;
  const auto left = operand<Compute>(as_compute(a, op.tf32, a_buffer)),
             right = operand<Compute>(as_compute(b, op.tf32, b_buffer));
  const auto m = static_cast<int>(a.rows), n = static_cast<int>(b.cols), k = static_cast<int>(a.cols);
  const auto gemm = [&] {
    if constexpr (std::is_same_v<Compute, double>) {
      return cblas_dgemm;
    } else {
      return cblas_sgemm;
    }
  }();
  gemm(CblasColMajor, left.transposed, right.transposed, m, n, k, alpha, left.data, left.ld, right.data,
       right.ld, beta, result, static_cast<int>(std::max<std::int64_t>(ld, 1)));
}

/// True if cblas can write D itself: nothing happens between the sum and the memory.
template <class Compute>
bool direct(const Matmul& op) {
  constexpr auto compute_type = std::is_same_v<Compute, double> ? CUDA_R_64F : CUDA_R_32F;
  const bool in_place = op.beta == 0 || (op.c.data == op.d.data && op.c.col_stride == op.d.col_stride);
  return op.epilogue.is_default() && op.d.type == compute_type && op.d.row_stride == 1 && in_place;
}

template <class Compute>
void run_as(const Matmul& op) {
  const auto beta = static_cast<Compute>(op.beta);
  const bool no_product = op.alpha == 0 || op.a.cols == 0;
  if (!no_product && direct<Compute>(op)) {
    const auto ld = std::max(op.d.col_stride, op.d.rows);
    return multiply(op, beta, static_cast<Compute*>(op.d.data), ld);
  }
  std::vector<Compute> values(op.d.rows * op.d.cols);
  if (!no_product) multiply(op, Compute(0), values.data(), op.d.rows);
  if (beta != 0) add(op.c, beta, values);
  apply(op, values);
  store(values, op.d);
}

}  // namespace

Unit unit_of(cudaDataType_t type, bool tf32) {
  if (type == CUDA_R_64F) return Unit::float64;
  if (type != CUDA_R_32F) return Unit::half;
  return tf32 ? Unit::tf32 : Unit::float32;
}

void run(const Matmul& op) {
  if (op.d.rows == 0 || op.d.cols == 0) return;
  if (op.d.type == CUDA_R_64F) {
    run_as<double>(op);
  } else {
    run_as<float>(op);
  }
}

}  // namespace miniparallel::simulator
