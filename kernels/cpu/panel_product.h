#pragma once

#include "kernels/matmul.h"

namespace miniparallel::kernels::cpu {

/// A matrix product by one thread without the BLAS; `batch` is not looked at. Blocks of b, and of
/// a where it is transposed, are packed so that they stay in the caches. T is float or double.
template <class T>
void panel_product(const MatmulArgs& args);

}  // namespace miniparallel::kernels::cpu
