#pragma once

#include <miniparallel/ops.h>

/// Functions as layers, for nn::Sequential.
namespace miniparallel::nn {

struct ReLU {
  Tensor operator()(const Tensor& x) const;
};
struct GELU {
  Gelu approximate = Gelu::erf;
  Tensor operator()(const Tensor& x) const;
};
struct SiLU {
  Tensor operator()(const Tensor& x) const;
};
struct Tanh {
  Tensor operator()(const Tensor& x) const;
};
struct Sigmoid {
  Tensor operator()(const Tensor& x) const;
};
struct Softmax {
  int dim = -1;
  Tensor operator()(const Tensor& x) const;
};
struct LogSoftmax {
  int dim = -1;
  Tensor operator()(const Tensor& x) const;
};

/// Joins the dimensions from start to end into one; without arguments all but the batch.
struct Flatten {
  int start_dim = 1;
  int end_dim = -1;
  Tensor operator()(const Tensor& x) const;
};

/// Passes x on.
struct Identity {
  Tensor operator()(const Tensor& x) const;
};

}  // namespace miniparallel::nn
