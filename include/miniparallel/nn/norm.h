#pragma once

#include <miniparallel/model/members.h>
#include <miniparallel/model/plain.h>
#include <miniparallel/nn/parameter.h>
#include <miniparallel/nn/training.h>

#include <optional>

namespace miniparallel {
namespace nn {

struct BatchNormOptions {
  double eps = 1e-5;
  /// Running = (1 - momentum) running + momentum batch; the plain average over all batches when empty.
  std::optional<double> momentum = 0.1;
  bool affine = true;               ///< weight and bias
  bool track_running_stats = true;  ///< without, evaluation too normalises by the batch
};

}  // namespace nn

template <>
inline constexpr bool is_plain<nn::BatchNormOptions> = true;

namespace nn {

/// Normalises each channel by mean and variance: of the batch in training, which
/// also updates the running ones, of those in evaluation. What BatchNorm1d
/// and BatchNorm2d share. (Ioffe, Szegedy: "Batch normalization", 2015.)
struct BatchNorm {
  /// Options come by value: GCC 12 warns of references to those of a default member initialiser.
  BatchNorm(std::int64_t channels, BatchNormOptions options = {});

  Parameter weight, bias;            ///< (channels) each, or undefined
  Buffer running_mean, running_var;  ///< (channels) each, or undefined
  Buffer num_batches_tracked;        ///< int64 without dimensions, or undefined
  BatchNormOptions options;
  Training training;

 protected:
  Tensor normalize(const Tensor& x) const;
};

/// x (n, channels) or (n, channels, length).
struct BatchNorm1d : BatchNorm {
  BatchNorm1d(std::int64_t channels, BatchNormOptions chosen = {}) : BatchNorm(channels, chosen) {}
  Tensor operator()(const Tensor& x) const;
  MINIPARALLEL_MEMBERS(weight, bias, running_mean, running_var, num_batches_tracked, options, training)
};

/// x (n, channels, height, width).
struct BatchNorm2d : BatchNorm {
  BatchNorm2d(std::int64_t channels, BatchNormOptions chosen = {}) : BatchNorm(channels, chosen) {}
  Tensor operator()(const Tensor& x) const;
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

  Parameter weight, bias;  ///< `normalized_shape` each, or undefined
  Shape normalized_shape;
  double eps;
  MINIPARALLEL_MEMBERS(weight, bias, normalized_shape, eps)
};

}  // namespace nn
}  // namespace miniparallel
