#pragma once

#include "kernels/backend.h"

namespace miniparallel::kernels {

const Backend& cuda_backend();

namespace cuda {

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
const Random& random_launchers();
const Reduce& reduce();
const Softmax& softmax();

/// Gives back what the kernels keep on the devices; the next use makes it anew.
void release();

}  // namespace cuda
}  // namespace miniparallel::kernels
