#pragma once

#include "kernels/attention.h"

namespace miniparallel::kernels::cuda {

/// The launchers of tensor_attention.cu, for Half, BFloat16, and float, whose operands are rounded to TF32.
/// `are_packed<T>` must hold, and the device's code must be of an architecture that has the type.
template <class T>
void attention_forward_on_tensor_cores(const AttentionArgs& args, Stream stream);
template <class T>
void attention_backward_on_tensor_cores(const AttentionArgs& args, const AttentionGradients& gradients,
                                        Stream stream);

}  // namespace miniparallel::kernels::cuda
