#pragma once

#include "engine/ops/common.h"
#include "kernels/random.h"

namespace miniparallel {

/// Throws, naming `op`, unless `p` is in [0, 1].
void check_probability(const char* op, double p);

/// Differentiable: dropout of x with this mask, whose p is above 0.
Tensor masked_scale(const Tensor& x, const kernels::DropoutMask& mask);

}  // namespace miniparallel
