#pragma once

#include <miniparallel/activation.h>
#include <miniparallel/model/members.h>
#include <miniparallel/model/plain.h>
#include <miniparallel/nn/parameter.h>
#include <miniparallel/nn/training.h>
#include <miniparallel/ops.h>

#include <optional>

namespace miniparallel {
namespace nn {

struct BatchNormOptions {
  double eps = 1e-5;
  /// Running = (1 - momentum) running + momentum batch; the plain average over all batches when empty.
  std::optional<double> momentum = 0.1;
  bool affine = true;                        ///< weight and bias
  bool track_running_stats = true;           ///< without, evaluation too normalises by the batch
  Activation activation = Activation::none;  ///< none or relu, after the residual if there is one
};

}  // namespace nn

template <>
inline constexpr bool is_plain<nn::BatchNormOptions> = true;

namespace nn {

/// See `local_response_norm`.
struct LocalResponseNorm {
  std::int64_t size;
  double alpha = 1e-4;
  double beta = 0.75;
  double k = 1;
  Tensor operator()(const Tensor& x) const;
};

/// Normalises each channel by mean and variance: of the batch in training, which
/// also updates the running ones, of those in evaluation. What BatchNorm1d
/// to BatchNorm3d share. A residual, of x's shape, is added to the result, before the activation: both are
/// done within the same passes over memory. (Ioffe, Szegedy: "Batch normalization", 2015.)
struct BatchNorm {
  /// Options come by value: GCC 12 warns of references to those of a default member initialiser.
  BatchNorm(std::int64_t channels, BatchNormOptions options = {});

  Parameter weight, bias;            ///< (channels) each, or undefined
  Buffer running_mean, running_var;  ///< (channels) each, or undefined
  Buffer num_batches_tracked;        ///< int64 without dimensions, or undefined
  BatchNormOptions options;
  Training training;

 protected:
  Tensor normalize(const Tensor& x, const Tensor& residual) const;
};

/// x (n, channels) or (n, channels, length).
struct BatchNorm1d : BatchNorm {
  BatchNorm1d(std::int64_t channels, BatchNormOptions chosen = {}) : BatchNorm(channels, chosen) {}
  Tensor operator()(const Tensor& x, const Tensor& residual = {}) const;
  MINIPARALLEL_MEMBERS(weight, bias, running_mean, running_var, num_batches_tracked, options, training)
};

/// x (n, channels, height, width).
struct BatchNorm2d : BatchNorm {
  BatchNorm2d(std::int64_t channels, BatchNormOptions chosen = {}) : BatchNorm(channels, chosen) {}
  Tensor operator()(const Tensor& x, const Tensor& residual = {}) const;
  MINIPARALLEL_MEMBERS(weight, bias, running_mean, running_var, num_batches_tracked, options, training)
};

/// x (n, channels, depth, height, width).
struct BatchNorm3d : BatchNorm {
  BatchNorm3d(std::int64_t channels, BatchNormOptions chosen = {}) : BatchNorm(channels, chosen) {}
  Tensor operator()(const Tensor& x, const Tensor& residual = {}) const;
  MINIPARALLEL_MEMBERS(weight, bias, running_mean, running_var, num_batches_tracked, options, training)
};

struct LayerNormOptions {
  double eps = 1e-5;
  bool elementwise_affine = true;  ///< weight and bias
  bool bias = true;
};

/// Normalises over the last dimensions, which have `normalized_shape`.
/// (Ba, Kiros, Hinton: "Layer normalization", 2016.)
struct LayerNorm {
  LayerNorm(const Shape& normalized_shape, const LayerNormOptions& options = {});
  LayerNorm(std::int64_t width, const LayerNormOptions& options = {}) : LayerNorm(Shape{width}, options) {}
  Tensor operator()(const Tensor& x) const;
  /// Of residual + dropout(x), by `add_layer_norm`: y is the layer's result. In evaluation pass dropout 0.
  AddNorm add_norm(const Tensor& x, const Tensor& residual, double dropout = 0) const;

  Parameter weight, bias;  ///< `normalized_shape` each, or undefined
  Shape normalized_shape;
  double eps;
  MINIPARALLEL_MEMBERS(weight, bias, normalized_shape, eps)
};

struct RMSNormOptions {
  std::optional<double> eps = {};  ///< that of the input's dtype when not given
  bool elementwise_affine = true;  ///< weight
};

/// x / sqrt(mean(x^2) + eps) over the last dimensions, which have `normalized_shape`. Costs: see `rms_norm`.
/// (Zhang, Sennrich: "Root mean square layer normalization", 2019.)
struct RMSNorm {
  RMSNorm(const Shape& normalized_shape, const RMSNormOptions& options = {});
  RMSNorm(std::int64_t width, const RMSNormOptions& options = {}) : RMSNorm(Shape{width}, options) {}
  Tensor operator()(const Tensor& x) const;

  Parameter weight;  ///< `normalized_shape`, or undefined
  Shape normalized_shape;
  std::optional<double> eps;
  MINIPARALLEL_MEMBERS(weight, normalized_shape, eps)
};

struct GroupNormOptions {
  double eps = 1e-5;
  bool affine = true;  ///< weight and bias
};

/// x (n, channels, ...): normalises each of `groups` parts of the channels of an example. Costs: see
/// `group_norm`. (Wu, He: "Group normalization", 2018.)
struct GroupNorm {
  GroupNorm(std::int64_t groups, std::int64_t channels, const GroupNormOptions& options = {});
  Tensor operator()(const Tensor& x) const;

  Parameter weight, bias;  ///< (channels) each, or undefined
  std::int64_t groups;
  double eps;
  MINIPARALLEL_MEMBERS(weight, bias, groups, eps)
};

struct InstanceNormOptions {
  double eps = 1e-5;
  bool affine = false;  ///< weight and bias
};

/// Normalises each channel of each example, in training and in evaluation alike: PyTorch's running statistics
/// of these layers, which are off there too unless asked for, are not offered. What the three share.
/// (Ulyanov, Vedaldi, Lempitsky: "Instance normalization", 2016.)
struct InstanceNorm {
  InstanceNorm(std::int64_t channels, const InstanceNormOptions& options = {});

  Parameter weight, bias;  ///< (channels) each, or undefined
  std::int64_t channels;
  double eps;

 protected:
  Tensor normalize(const char* layer, const Tensor& x, int dims) const;
};

/// x (n, channels, length).
struct InstanceNorm1d : InstanceNorm {
  using InstanceNorm::InstanceNorm;
  Tensor operator()(const Tensor& x) const;
  MINIPARALLEL_MEMBERS(weight, bias, channels, eps)
};
/// x (n, channels, height, width).
struct InstanceNorm2d : InstanceNorm {
  using InstanceNorm::InstanceNorm;
  Tensor operator()(const Tensor& x) const;
  MINIPARALLEL_MEMBERS(weight, bias, channels, eps)
};
/// x (n, channels, depth, height, width).
struct InstanceNorm3d : InstanceNorm {
  using InstanceNorm::InstanceNorm;
  Tensor operator()(const Tensor& x) const;
  MINIPARALLEL_MEMBERS(weight, bias, channels, eps)
};

}  // namespace nn
}  // namespace miniparallel
