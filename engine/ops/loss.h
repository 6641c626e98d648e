#pragma once

#include "engine/ops/common.h"
#include "kernels/pointwise_loss.h"

/// Helpers of the losses.

namespace miniparallel {

/// Throws, naming `op`, unless both are floating and of one device, dtype and shape.
void check_pair(const char* op, const Tensor& x, const Tensor& target);

Tensor reduced(const Tensor& losses, Reduction reduction);

/// A loss of kernels/pointwise_loss.h: `of` names the function and its numbers. The factor of a mean is 1 /
/// n, that of a sum `of`'s.
Tensor pointwise_loss(const char* op, const kernels::PointwiseLossArgs& of, const Tensor& x,
                      const Tensor& target, Reduction reduction);

/// An optional factor of losses, brought to the device and dtype of `like`.
inline Tensor factor_like(const Tensor& factor, const Tensor& like) {
  return factor.to(like.device(), like.dtype());
}

/// The kernel's part of these losses: class indices, no weights.
Tensor fused_cross_entropy(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& options);
Tensor fused_nll_loss(const Tensor& log_probabilities, const Tensor& target, const NllLossOptions& options);
void check_smoothing(const char* op, double label_smoothing);

/// The weights of the classes that a target (class indices) names, 0 where it is `ignore_index`. What a mean
/// is divided by is their sum.
Tensor target_weights(const Tensor& target, std::int64_t ignore_index, const Tensor& weight);

}  // namespace miniparallel
