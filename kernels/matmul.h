#pragma once

#include <miniparallel/activation.h>
#include <miniparallel/dtype.h>

#include "kernels/destination.h"
#include "kernels/elementwise.h"
#include "kernels/layout.h"
#include "kernels/sizes.h"
#include "kernels/stream.h"

namespace miniparallel::kernels {

/// A matrix whose rows (or, when transposed, columns) are plain arrays `stride` elements apart.
struct Matrix {
  const void* data = nullptr;
  std::int64_t stride = 1;
  bool transposed = false;
};

/// c = a b + beta c, or activation(a b + bias) with the bias added to every row: a is (rows, inner), b
/// (inner, columns), c (rows, columns) with rows `c_stride` apart.
struct MatmulArgs {
  std::int64_t rows = 0, columns = 0, inner = 0;
  Matrix a, b;
  void* c = nullptr;
  std::int64_t c_stride = 1;
  int beta = 0;                              ///< 0 (c is not read) or 1
  const void* bias = nullptr;                ///< `columns` elements added to every row; only with beta 0
  Activation activation = Activation::none;  ///< of c, after the bias; only with beta 0
  void* pre_activation = nullptr;            ///< receives its values in c's layout; may be null
  bool allow_tf32 = false;                   ///< a GPU may round float32 operands to TF32
  Layout batch;                              ///< steps from one matrix to the next, of c, a and b
};
inline Sizes sizes(const MatmulArgs& args) {
  return {"batch rows inner columns", {args.batch.numel(), args.rows, args.inner, args.columns}};
}

/// The way back through the end of c = activation(a b + bias): from the gradient of c to those of a b and of
/// the bias, its column sums. Matrices are (rows, columns), row-major.
struct EpilogueGradientArgs {
  std::int64_t rows = 0, columns = 0;
  Activation activation = Activation::relu;  ///< not none
  const void* g = nullptr;                   ///< the gradient of c
  const void* saved = nullptr;               ///< c for relu, else the pre-activation
  void* dx = nullptr;                        ///< the gradient of a b; may be g
  Destination dbias;                         ///< `columns` elements
};
inline Sizes sizes(const EpilogueGradientArgs& args) { return {"rows columns", {args.rows, args.columns}}; }

/// float32 and float64.
struct Matmul {
  /// c overlaps neither a nor b.
  void (*multiply)(DType dtype, const MatmulArgs& args, Stream stream);
  void (*epilogue_gradient)(DType dtype, const EpilogueGradientArgs& args, Stream stream);
};

/// The elementwise function that an activation is.
constexpr Unary function_of(Activation activation) {
  return activation == Activation::relu ? Unary::relu : Unary::gelu_tanh;
}

}  // namespace miniparallel::kernels
