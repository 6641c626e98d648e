#pragma once

#include <miniparallel/tensor.h>

namespace miniparallel {

/// The gradient of x for the gradient g of prod(x, {dim}, true), float32 or float64: for each element g times
/// the product of all others along the dimension. Differentiable; nothing is divided, so zeros do no harm.
Tensor products_of_others(const Tensor& x, int dim, const Tensor& g);

}  // namespace miniparallel
