#pragma once

#include <miniparallel/tensor.h>

#include <vector>

/// In PyTorch's namespace, so that `nn::utils::clip_grad_norm_(parameters(model), 1.0)` reads as there.
namespace miniparallel::nn::utils {

/// Scales the gradients of all parameters, in place and as if they were one vector, so that their norm is at
/// most `max_norm`. Returns the norm before, a tensor without dimensions, still on the gradients' device (0
/// when there is no gradient). Throws `Error` unless `norm_type` is 1, 2 or infinity, `max_norm` at least 0
/// and the gradients share one device and dtype, float32 or float64.
Tensor clip_grad_norm_(const std::vector<Tensor>& parameters, double max_norm, double norm_type = 2);

/// Clamps every element of the gradients to [-clip_value, clip_value], in place. Throws `Error` for a
/// `clip_value` below 0 and for gradients of several devices or dtypes.
void clip_grad_value_(const std::vector<Tensor>& parameters, double clip_value);

}  // namespace miniparallel::nn::utils
