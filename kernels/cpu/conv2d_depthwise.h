#pragma once

#include "kernels/conv2d.h"

namespace miniparallel::kernels::cpu {

/// Convolution with one input channel per group (in_channels == groups): plane by plane.
const Conv2d& conv2d_depthwise();

}  // namespace miniparallel::kernels::cpu
