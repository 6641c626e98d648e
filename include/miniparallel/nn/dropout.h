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

/// The same with whole channels of x, (n, channels, h, w) or (n, channels, length).
struct Dropout2d {
  double p = 0.5;
  Training training = {};
  Tensor operator()(const Tensor& x) const;
};

/// Of x, (n, channels, d, h, w).
struct Dropout3d {
  double p = 0.5;
  Training training = {};
  Tensor operator()(const Tensor& x) const;
};

/// For networks of SELU: see `alpha_dropout`.
struct AlphaDropout {
  double p = 0.5;
  Training training = {};
  Tensor operator()(const Tensor& x) const;
};

}  // namespace miniparallel::nn
