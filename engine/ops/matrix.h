#pragma once

#include "engine/ops/half.h"

/// How tensors become operands of matrix products.

namespace miniparallel {

/// A tensor as a stack of matrices whose strides a BLAS accepts; a copy of it where the strides do not fit.
struct MatrixOperand {
  Tensor tensor;
  kernels::Matrix matrix;
};
MatrixOperand matrix_operand(const Tensor& x);

/// Whether products of a 16-bit dtype go without float32 copies: cuBLAS sums them in float32.
inline bool multiplies_halves(const Tensor& x) { return x.device().is_cuda(); }

/// The operations on a product on its way to memory; see kernels::MatmulArgs.
struct Epilogue {
  Tensor bias = {};  ///< m elements or undefined
  Activation activation = Activation::none;
  Tensor pre_activation = {};  ///< like the product, contiguous, or undefined
};

/// c = a b + beta c for a (..., n, k), b (..., k, m) and c (..., n, m), which is contiguous and whose leading
/// dimensions a's and b's broadcast to. An epilogue goes with beta 0. Records nothing.
void multiply_into(const Tensor& c, const Tensor& a, const Tensor& b, int beta,
                   const Epilogue& epilogue = {});

}  // namespace miniparallel
