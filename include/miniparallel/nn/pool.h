#pragma once

#include <miniparallel/ops.h>

/// Images are (n, channels, height, width).
namespace miniparallel::nn {

struct MaxPool2d {
  Size2 kernel;
  Pool2dOptions options = {};
  Tensor operator()(const Tensor& x) const;
};

/// Padding counts as zeros.
struct AvgPool2d {
  Size2 kernel;
  Pool2dOptions options = {};
  Tensor operator()(const Tensor& x) const;
};

/// To height and width `output`, whatever the input's.
struct AdaptiveAvgPool2d {
  Size2 output;
  Tensor operator()(const Tensor& x) const;
};

/// The same with the largest element of each window.
struct AdaptiveMaxPool2d {
  Size2 output;
  Tensor operator()(const Tensor& x) const;
};

// The same for sequences, (n, channels, length).

struct MaxPool1d {
  std::int64_t kernel;
  Pool1dOptions options = {};
  Tensor operator()(const Tensor& x) const;
};
struct AvgPool1d {
  std::int64_t kernel;
  Pool1dOptions options = {};
  Tensor operator()(const Tensor& x) const;
};
struct AdaptiveAvgPool1d {
  std::int64_t output;
  Tensor operator()(const Tensor& x) const;
};
struct AdaptiveMaxPool1d {
  std::int64_t output;
  Tensor operator()(const Tensor& x) const;
};

// And for volumes, (n, channels, depth, height, width).

struct MaxPool3d {
  Size3 kernel;
  Pool3dOptions options = {};
  Tensor operator()(const Tensor& x) const;
};
struct AvgPool3d {
  Size3 kernel;
  Pool3dOptions options = {};
  Tensor operator()(const Tensor& x) const;
};
struct AdaptiveAvgPool3d {
  Size3 output;
  Tensor operator()(const Tensor& x) const;
};
struct AdaptiveMaxPool3d {
  Size3 output;
  Tensor operator()(const Tensor& x) const;
};

/// To `scale_factor` times the height and width: see `interpolate`.
struct Upsample {
  Size2 scale_factor;
  Interpolation mode = Interpolation::nearest;
  bool align_corners = false;
  Tensor operator()(const Tensor& x) const;
};

/// r^2 channels as a square of pixels, and back.
struct PixelShuffle {
  std::int64_t upscale_factor;
  Tensor operator()(const Tensor& x) const;
};
struct PixelUnshuffle {
  std::int64_t downscale_factor;
  Tensor operator()(const Tensor& x) const;
};

}  // namespace miniparallel::nn
