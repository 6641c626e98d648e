#pragma once

#include <miniparallel/nn/training.h>
#include <miniparallel/tensor.h>

namespace miniparallel::nn {

/// In training zeroes elements with probability p and scales the others by 1 / (1 - p); else passes x on.
struct Dropout {
  double p = 0.5;
  Training training = {};
  Tensor operator()(const Tensor& x) const;
};

}  // namespace miniparallel::nn
