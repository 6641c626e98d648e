#pragma once

#include <miniparallel/ops.h>

namespace miniparallel {

/// Whether convolutions of x's 16-bit dtype go without float32 copies: on GPUs whose tensor cores take it.
bool convolves_halves(const Tensor& x);

/// The gradient of conv2d's input, of shape `x`, for the gradient `g` of its result, plus `bias` for each
/// channel, if defined. Differentiable any number of times. The padding is in numbers.
Tensor conv2d_data_gradient(const Tensor& g, const Tensor& weight, const Tensor& bias, const Shape& x,
                            const Conv2dOptions& options);

}  // namespace miniparallel
