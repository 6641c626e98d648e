#pragma once

#include "kernels/attention.h"
#include "kernels/conv2d.h"
#include "kernels/cross_entropy.h"
#include "kernels/elementwise.h"
#include "kernels/indexing.h"
#include "kernels/matmul.h"
#include "kernels/norm.h"
#include "kernels/optimizer.h"
#include "kernels/pointwise_loss.h"
#include "kernels/pool2d.h"
#include "kernels/random.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"

namespace miniparallel::kernels {

/// The launchers of one kind of device, by family.
struct Backend {
  const Attention& attention;
  const Conv2d& conv2d;
  const CrossEntropy& cross_entropy;
  const Elementwise& elementwise;
  const Indexing& indexing;
  const Matmul& matmul;
  const Norm& norm;
  const Optimizer& optimizer;
  const PointwiseLoss& pointwise_loss;
  const Pool2d& pool2d;
  const Random& random;
  const Reduce& reduce;
  const Softmax& softmax;
};

const Backend& cpu_backend();

}  // namespace miniparallel::kernels
