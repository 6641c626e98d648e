#pragma once

#include "kernels/matmul.h"

namespace miniparallel::kernels::cpu {

/// One matrix product by the BLAS, or by panels where these are faster, on as many threads as `parallel_for`
/// would use: `batch` and `activation` of the arguments are not looked at. T is float or double. Throws
/// `Error` for sizes that the BLAS cannot take.
template <class T>
void blas_multiply(const MatmulArgs& args);

}  // namespace miniparallel::kernels::cpu
