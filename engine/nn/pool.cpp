#include <miniparallel/nn/pool.h>

#include "engine/error.h"
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

Tensor AdaptiveMaxPool2d::operator()(const Tensor& x) const {
  return observed(*this, adaptive_max_pool2d(x, output));
}

Tensor MaxPool1d::operator()(const Tensor& x) const {
  return observed(*this, max_pool1d(x, kernel, options));
}

Tensor AvgPool1d::operator()(const Tensor& x) const {
  return observed(*this, avg_pool1d(x, kernel, options));
}

Tensor AdaptiveAvgPool1d::operator()(const Tensor& x) const {
  return observed(*this, adaptive_avg_pool1d(x, output));
}

Tensor AdaptiveMaxPool1d::operator()(const Tensor& x) const {
  return observed(*this, adaptive_max_pool1d(x, output));
}

Tensor MaxPool3d::operator()(const Tensor& x) const {
  return observed(*this, max_pool3d(x, kernel, options));
}

Tensor AvgPool3d::operator()(const Tensor& x) const {
  return observed(*this, avg_pool3d(x, kernel, options));
}

Tensor AdaptiveAvgPool3d::operator()(const Tensor& x) const {
  return observed(*this, adaptive_avg_pool3d(x, output));
}

Tensor AdaptiveMaxPool3d::operator()(const Tensor& x) const {
  return observed(*this, adaptive_max_pool3d(x, output));
}

Tensor Upsample::operator()(const Tensor& x) const {
  if (mode == Interpolation::nearest) return observed(*this, upsample(x, scale_factor));
  check(x.dim() == 4, "Upsample: got shape ", x.shape(), "; it must be (n, channels, height, width)");
  const Size2 size(x.size(2) * scale_factor.height, x.size(3) * scale_factor.width);
  return observed(*this, interpolate(x, {.size = size, .mode = mode, .align_corners = align_corners}));
}

Tensor PixelShuffle::operator()(const Tensor& x) const {
  return observed(*this, pixel_shuffle(x, upscale_factor));
}

Tensor PixelUnshuffle::operator()(const Tensor& x) const {
  return observed(*this, pixel_unshuffle(x, downscale_factor));
}

}  // namespace miniparallel::nn
