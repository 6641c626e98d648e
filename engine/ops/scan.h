#pragma once

#include <miniparallel/tensor.h>

namespace miniparallel {

/// For each element the product of all others along the dimension, differentiable: nothing is divided, so
/// zeros do no harm.
Tensor product_of_others(const Tensor& x, int dim);

}  // namespace miniparallel
