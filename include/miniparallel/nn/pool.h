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

/// Each pixel repeated (nearest neighbours).
struct Upsample {
  Size2 scale_factor;
  Tensor operator()(const Tensor& x) const;
};

}  // namespace miniparallel::nn
