#include <miniparallel/nn/pool.h>

#include "engine/nn/observer.h"

namespace miniparallel::nn {

Tensor MaxPool2d::operator()(const Tensor& x) const {
  return observed(*this, max_pool2d(x, kernel, options));
}

Tensor AvgPool2d::operator()(const Tensor& x) const {
  return observed(*this, avg_pool2d(x, kernel, options));
}

Tensor AdaptiveAvgPool2d::operator()(const Tensor& x) const {
  return observed(*this, adaptive_avg_pool2d(x, output));
}

Tensor Upsample::operator()(const Tensor& x) const { return observed(*this, upsample(x, scale_factor)); }

}  // namespace miniparallel::nn
