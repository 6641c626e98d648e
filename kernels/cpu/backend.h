#pragma once

#include "kernels/backend.h"

namespace miniparallel::kernels::cpu {

const Attention& attention();
const Conv2d& conv2d();
const CrossEntropy& cross_entropy();
const Elementwise& elementwise();
const Indexing& indexing();
const Matmul& matmul();
const Norm& norm();
const Optimizer& optimizer();
const PointwiseLoss& pointwise_loss();
const Pool2d& pool2d();
const Random& random();
const Reduce& reduce();
const Softmax& softmax();

}  // namespace miniparallel::kernels::cpu
