#pragma once

#include <miniparallel/model/members.h>
#include <miniparallel/nn/parameter.h>
#include <miniparallel/nn/training.h>
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
struct ReLU6 {
  Tensor operator()(const Tensor& x) const;
};
struct LeakyReLU {
  double negative_slope = 0.01;
  Tensor operator()(const Tensor& x) const;
};
struct ELU {
  double alpha = 1;
  Tensor operator()(const Tensor& x) const;
};
struct SELU {
  Tensor operator()(const Tensor& x) const;
};
struct CELU {
  double alpha = 1;
  Tensor operator()(const Tensor& x) const;
};
struct Softplus {
  double beta = 1;
  double threshold = 20;
  Tensor operator()(const Tensor& x) const;
};
struct Mish {
  Tensor operator()(const Tensor& x) const;
};
struct Softsign {
  Tensor operator()(const Tensor& x) const;
};
struct LogSigmoid {
  Tensor operator()(const Tensor& x) const;
};
struct Hardsigmoid {
  Tensor operator()(const Tensor& x) const;
};
struct Hardswish {
  Tensor operator()(const Tensor& x) const;
};
struct Hardtanh {
  double min_val = -1;
  double max_val = 1;
  Tensor operator()(const Tensor& x) const;
};
struct Hardshrink {
  double lambda = 0.5;
  Tensor operator()(const Tensor& x) const;
};
struct Softshrink {
  double lambda = 0.5;
  Tensor operator()(const Tensor& x) const;
};
struct Tanhshrink {
  Tensor operator()(const Tensor& x) const;
};
struct Threshold {
  double limit;
  double value;
  Tensor operator()(const Tensor& x) const;
};
/// Random slopes below 0 in training, their mean in evaluation: see `rrelu`.
struct RReLU {
  double lower = 1.0 / 8;
  double upper = 1.0 / 3;
  Training training = {};
  Tensor operator()(const Tensor& x) const;
};
struct GLU {
  int dim = -1;
  Tensor operator()(const Tensor& x) const;
};
struct Softmin {
  int dim = -1;
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

/// x, or weight x below 0: the slope is learned, one for all or one for each of the channels, dimension 1.
/// (He, Zhang, Ren, Sun: "Delving deep into rectifiers", 2015.)
struct PReLU {
  explicit PReLU(std::int64_t num_parameters = 1, double init = 0.25);
  Tensor operator()(const Tensor& x) const;

  Parameter weight;  ///< (num_parameters)
  MINIPARALLEL_MEMBERS(weight)
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
