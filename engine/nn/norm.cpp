#include <miniparallel/nn/norm.h>

#include <miniparallel/ops.h>

#include "engine/error.h"
#include "engine/nn/observer.h"
#include "engine/ops/running_statistics.h"

namespace miniparallel::nn {

BatchNorm::BatchNorm(std::int64_t channels, BatchNormOptions chosen) : options(chosen) {
  check(channels > 0, "BatchNorm: got ", channels, " channels; it needs at least one");
  check(options.eps > 0, "BatchNorm: eps is ", options.eps, "; it must be above 0");
  check_momentum("BatchNorm", options.momentum);
  if (options.affine) {
    weight = Parameter(ones({channels}));
    bias = Parameter(zeros({channels}));
  }
  if (options.track_running_stats) {
    running_mean = Buffer(zeros({channels}));
    running_var = Buffer(ones({channels}));
    num_batches_tracked = Buffer(zeros({}, {.dtype = int64}));
  }
}

Tensor BatchNorm::normalize(const Tensor& x, const Tensor& residual) const {
  return batch_norm(x, weight, bias, {running_mean, running_var, num_batches_tracked, options.momentum},
                    training || !running_mean.defined(), options.eps, {options.activation, residual});
}

Tensor BatchNorm1d::operator()(const Tensor& x, const Tensor& residual) const {
  check(x.dim() == 2 || x.dim() == 3, "BatchNorm1d: got shape ", x.shape(),
        "; it must be (n, channels) or (n, channels, length)");
  return observed(*this, normalize(x, residual));
}

Tensor BatchNorm2d::operator()(const Tensor& x, const Tensor& residual) const {
  check(x.dim() == 4, "BatchNorm2d: got shape ", x.shape(), "; it must be (n, channels, height, width)");
  return observed(*this, normalize(x, residual));
}

Tensor BatchNorm3d::operator()(const Tensor& x, const Tensor& residual) const {
  check(x.dim() == 5, "BatchNorm3d: got shape ", x.shape(),
        "; it must be (n, channels, depth, height, width)");
  return observed(*this, normalize(x, residual));
}

LayerNorm::LayerNorm(const Shape& shape, const LayerNormOptions& options)
    : normalized_shape(shape), eps(options.eps) {
  check(!shape.empty(), "LayerNorm: got a normalised shape of []; it needs at least one dimension");
  check(eps > 0, "LayerNorm: eps is ", eps, "; it must be above 0");
  if (!options.elementwise_affine) return;
  weight = Parameter(ones(shape));
  if (options.bias) bias = Parameter(zeros(shape));
}

Tensor LayerNorm::operator()(const Tensor& x) const {
  return observed(*this, layer_norm(x, normalized_shape, weight, bias, eps));
}

AddNorm LayerNorm::add_norm(const Tensor& x, const Tensor& residual, double dropout) const {
  AddNorm made =
      add_layer_norm(x, residual, normalized_shape, weight, bias, {.dropout = dropout, .eps = eps});
  made.y = observed(*this, made.y);
  return made;
}

RMSNorm::RMSNorm(const Shape& shape, const RMSNormOptions& options)
    : normalized_shape(shape), eps(options.eps) {
  check(!shape.empty(), "RMSNorm: got a normalised shape of []; it needs at least one dimension");
  check(!eps || *eps > 0, "RMSNorm: eps is ", eps.value_or(0), "; it must be above 0");
  if (options.elementwise_affine) weight = Parameter(ones(shape));
}

Tensor RMSNorm::operator()(const Tensor& x) const {
  return observed(*this, rms_norm(x, normalized_shape, weight, eps));
}

GroupNorm::GroupNorm(std::int64_t count, std::int64_t channels, const GroupNormOptions& options)
    : groups(count), eps(options.eps) {
  check(groups > 0 && channels > 0 && channels % groups == 0, "GroupNorm: ", groups, " groups do not divide ",
        channels, " channels; choose a divisor");
  check(eps > 0, "GroupNorm: eps is ", eps, "; it must be above 0");
  if (!options.affine) return;
  weight = Parameter(ones({channels}));
  bias = Parameter(zeros({channels}));
}

Tensor GroupNorm::operator()(const Tensor& x) const {
  return observed(*this, group_norm(x, groups, weight, bias, eps));
}

InstanceNorm::InstanceNorm(std::int64_t count, const InstanceNormOptions& options)
    : channels(count), eps(options.eps) {
  check(channels > 0, "InstanceNorm: got ", channels, " channels; it needs at least one");
  check(eps > 0, "InstanceNorm: eps is ", eps, "; it must be above 0");
  if (!options.affine) return;
  weight = Parameter(ones({channels}));
  bias = Parameter(zeros({channels}));
}

Tensor InstanceNorm::normalize(const char* layer, const Tensor& x, int dims) const {
  check(x.dim() == dims && x.size(1) == channels, layer, ": got shape ", x.shape(), "; it must have ", dims,
        " dimensions, (n, ", channels, ", ...)");
  return instance_norm(x, weight, bias, eps);
}

Tensor InstanceNorm1d::operator()(const Tensor& x) const {
  return observed(*this, normalize("InstanceNorm1d", x, 3));
}
Tensor InstanceNorm2d::operator()(const Tensor& x) const {
  return observed(*this, normalize("InstanceNorm2d", x, 4));
}
Tensor InstanceNorm3d::operator()(const Tensor& x) const {
  return observed(*this, normalize("InstanceNorm3d", x, 5));
}

Tensor LocalResponseNorm::operator()(const Tensor& x) const {
  return observed(*this, local_response_norm(x, size, alpha, beta, k));
}

}  // namespace miniparallel::nn
