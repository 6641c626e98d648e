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

Tensor BatchNorm::normalize(const Tensor& x) const {
  return batch_norm(x, weight, bias, {running_mean, running_var, num_batches_tracked, options.momentum},
                    training || !running_mean.defined(), options.eps);
}

Tensor BatchNorm1d::operator()(const Tensor& x) const {
  check(x.dim() == 2 || x.dim() == 3, "BatchNorm1d: got shape ", x.shape(),
        "; it must be (n, channels) or (n, channels, length)");
  return observed(*this, normalize(x));
}

Tensor BatchNorm2d::operator()(const Tensor& x) const {
  check(x.dim() == 4, "BatchNorm2d: got shape ", x.shape(), "; it must be (n, channels, height, width)");
  return observed(*this, normalize(x));
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

}  // namespace miniparallel::nn
