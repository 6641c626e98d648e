#pragma once

#include "engine/ops/norm.h"

#include <vector>

/// What batch_norm of a whole batch and of its parts share.

namespace miniparallel {

/// Where channels are innermost, what is around them is one dimension.
inline kernels::BatchNormGeometry geometry_of(const Tensor& x) {
  if (x.impl()->channels_last) return {x.numel() / x.size(1), x.size(1), 1};
  const std::int64_t outer = x.size(0) * x.size(1);
  return {x.size(0), x.size(1), outer == 0 ? 0 : x.numel() / outer};
}

/// Every dimension but that of the channels.
Shape batch_dims(const Tensor& x);

/// A number per channel, in a shape that broadcasts over x.
Tensor per_channel(const Tensor& numbers, const Tensor& x);

/// The values that the backward of batch_norm reads. `count`, of the values per channel that the statistics
/// are of, is 0 when they were the running ones.
struct BatchNorm {
  kernels::BatchNormGeometry geometry;
  std::int64_t count;
  double eps;
  Tensor inv_std;
  bool channels_last = false;  // the input, and so the result

  kernels::BatchNormArgs args(const Tensor& x, const Tensor& mean, const Tensor& weight,
                              const Tensor& bias = {}) const {
    return {geometry, raw_or_null(x), raw(mean), raw(inv_std), raw_or_null(weight), raw_or_null(bias)};
  }
};

/// A part of a batch, and the gradient of its result: undefined where nothing flowed into that.
struct BatchNormGradient {
  Tensor x, weight, g;
};

/// Hands over the gradients of x, weight and bias, the inputs of `b`, of part after part, by ops that are
/// differentiable: of parts that were normalised together, by the statistics of all their `count` values.
void batch_norm_composed(Backward& b, const std::vector<BatchNormGradient>& parts, std::int64_t count,
                         double eps);

}  // namespace miniparallel
