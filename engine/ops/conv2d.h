#pragma once

#include <miniparallel/ops.h>

namespace miniparallel {

/// The gradient of conv2d's input, of shape `x`, for the gradient `g` of its result. Differentiable by both
/// any number of times. The padding is in numbers.
Tensor conv2d_data_gradient(const Tensor& g, const Tensor& weight, const Shape& x,
                            const Conv2dOptions& options);

}  // namespace miniparallel
