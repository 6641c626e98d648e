#include "kernels/cpu/blas.h"

#include <miniparallel/error.h>

#include "kernels/cpu/blas_alone.h"
#include "kernels/cpu/blas_processor.h"
#include "kernels/cpu/instruction_set.h"
#include "kernels/cpu/panel_product.h"
#include "kernels/cpu/panels.h"
#include "kernels/cpu/parallel.h"

#include <cblas.h>

#include <algorithm>
#include <limits>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>

namespace miniparallel::kernels::cpu {
namespace {

// Before main, where no other thread is likely to multiply.
[[maybe_unused]] const bool told = tell_blas_of_processor();

constexpr std::int64_t kGrain = 1 << 19;  // multiplications per thread at least: some 10 us
constexpr std::int64_t kTile = 16;        // rows or columns that the BLAS's kernels take at once

blasint to_blas(std::int64_t size) {
  if (size > std::numeric_limits<blasint>::max())
    throw Error("matmul: a size or stride of " + std::to_string(size) +
                " is more than the BLAS takes (2^31 - 1); split the operand");
  return static_cast<blasint>(size);
}

constexpr CBLAS_TRANSPOSE transpose(bool yes) { return yes ? CblasTrans : CblasNoTrans; }

template <class T>
constexpr auto gemm = nullptr;
template <>
constexpr auto gemm<float> = cblas_sgemm;
template <>
constexpr auto gemm<double> = cblas_dgemm;
template <class T>
constexpr auto gemv = nullptr;
template <>
constexpr auto gemv<float> = cblas_sgemv;
template <>
constexpr auto gemv<double> = cblas_dgemv;

/// y += op(m) x for op(m) of (rows, columns). Some BLAS multiply y by beta even when it is 0, which would
/// keep a NaN of memory that was never written: y is cleared here instead.
template <class T>
void matrix_vector(const Matrix& m, bool transposed, std::int64_t rows, std::int64_t columns, const void* x,
                   std::int64_t x_stride, T* y, std::int64_t y_stride, int beta) {
  if (beta == 0)
    for (std::int64_t i = 0; i < rows; ++i) y[i * y_stride] = T(0);
  const std::int64_t stored_rows = transposed ? columns : rows, stored_columns = transposed ? rows : columns;
  gemv<T>(CblasRowMajor, transpose(transposed), to_blas(stored_rows), to_blas(stored_columns), T(1),
          static_cast<const T*>(m.data), to_blas(std::max(m.stride, stored_columns)),
          static_cast<const T*>(x), to_blas(x_stride), T(1), y, to_blas(y_stride));
}

/// By one thread.
template <class T>
void multiply_part(const MatmulArgs& args) {
  const auto [rows, columns, inner] = std::tuple(args.rows, args.columns, args.inner);
  if (rows == 0 || columns == 0) return;
  T* c = static_cast<T*>(args.c);
  // The product is then added, and the BLAS saves its own pass that clears c.
  for (std::int64_t i = 0; args.bias != nullptr && i < rows; ++i)
    std::copy_n(static_cast<const T*>(args.bias), columns, c + i * args.c_stride);
  const int beta = args.bias != nullptr ? 1 : args.beta;
  if (inner == 0) {
    for (std::int64_t i = 0; beta == 0 && i < rows; ++i) std::fill_n(c + i * args.c_stride, columns, T(0));
    return;
  }
  const SingleThread alone;
  if (columns == 1)
    return matrix_vector(args.a, args.a.transposed, rows, inner, args.b.data,
                         args.b.transposed ? 1 : args.b.stride, c, args.c_stride, beta);
  if (rows == 1)
    return matrix_vector(args.b, !args.b.transposed, columns, inner, args.a.data,
                         args.a.transposed ? args.a.stride : 1, c, 1, beta);
  const std::int64_t a_columns = args.a.transposed ? rows : inner;
  const std::int64_t b_columns = args.b.transposed ? inner : columns;
  gemm<T>(CblasRowMajor, transpose(args.a.transposed), transpose(args.b.transposed), to_blas(rows),
          to_blas(columns), to_blas(inner), T(1), static_cast<const T*>(args.a.data),
          to_blas(std::max(args.a.stride, a_columns)), static_cast<const T*>(args.b.data),
          to_blas(std::max(args.b.stride, b_columns)), static_cast<T>(beta), c,
          to_blas(std::max(args.c_stride, columns)));
}

/// Whether panels are faster than the BLAS: where that has older kernels; with AVX-512 beside OpenBLAS 0.3.21
/// in float32, but where all sides are long, or so short that packing tells. Columns must fill them.
template <class T>
bool takes_panels(const MatmulArgs& args) {
  static const bool lags = blas_lags();
  static const bool has_avx512 = std::string_view(instruction_set()) == "AVX3";
  constexpr std::int64_t long_side = 1024, short_inner = 64, small = 1 << 18;
  const std::int64_t whole = panel_loops<T>().whole(args.columns);
  if (args.rows == 1 || args.columns == 1) return false;
  if (args.inner == 1) return true;  // for which the BLAS would pack both
  if (lags) return 2 * args.columns >= whole;
  return has_avx512 && std::is_same_v<T, float> && 8 * args.columns >= 7 * whole &&
         args.inner >= short_inner && args.rows * args.columns * args.inner > small &&
         std::min({args.rows, args.columns, args.inner}) <= long_side;
}

/// Rows [begin, end) of the product, or columns.
template <class T>
MatmulArgs part_of(MatmulArgs args, bool by_rows, std::int64_t begin, std::int64_t end) {
  const auto skip = [&](Matrix& matrix, bool along_stride) {
    matrix.data = static_cast<const T*>(matrix.data) + begin * (along_stride ? matrix.stride : 1);
  };
  if (by_rows)
    skip(args.a, !args.a.transposed);
  else
    skip(args.b, args.b.transposed);
  if (!by_rows && args.bias != nullptr) args.bias = static_cast<const T*>(args.bias) + begin;
  args.c = static_cast<T*>(args.c) + begin * (by_rows ? args.c_stride : 1);
  (by_rows ? args.rows : args.columns) = end - begin;
  return args;
}

}  // namespace

template <class T>
void blas_multiply(const MatmulArgs& args) {
  // Along the longer side of the product: the other operand, which each thread reads whole, is the smaller.
  const bool by_rows = args.rows > args.columns;
  const std::int64_t length = by_rows ? args.rows : args.columns;
  const std::int64_t work = std::max<std::int64_t>(args.inner, 1) * (by_rows ? args.columns : args.rows);
  // By all sizes, not those of a thread's part: results do not depend on the number of threads.
  const bool panels = takes_panels<T>(args);
  const auto multiply = panels ? panel_product<T> : multiply_part<T>;
  const std::int64_t tile = panels && !by_rows ? panel_loops<T>().width : kTile;
  parallel_for((length + tile - 1) / tile,
               std::max<std::int64_t>(kGrain / std::max<std::int64_t>(work * tile, 1), 1),
               [&](std::int64_t begin, std::int64_t end) {
                 multiply(part_of<T>(args, by_rows, begin * tile, std::min(length, end * tile)));
               });
}

template void blas_multiply<float>(const MatmulArgs&);
template void blas_multiply<double>(const MatmulArgs&);

}  // namespace miniparallel::kernels::cpu
