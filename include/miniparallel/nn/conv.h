#pragma once

#include <miniparallel/model/members.h>
#include <miniparallel/model/plain.h>
#include <miniparallel/nn/parameter.h>
#include <miniparallel/ops.h>

namespace miniparallel {
namespace nn {

struct Conv2dOptions {
  Size2 stride = 1;
  Size2 padding = 0;
  Size2 dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
};

}  // namespace nn

template <>
inline constexpr bool is_plain<nn::Conv2dOptions> = true;

namespace nn {

/// x (n, in, h, w) -> (n, out, h', w'), h' = (h + 2 padding - dilation (kernel - 1) - 1) / stride + 1. Weight
/// and bias start uniform within 1 / sqrt(in / groups * kernel area).
struct Conv2d {
  Conv2d(std::int64_t in_channels, std::int64_t out_channels, Size2 kernel,
         const Conv2dOptions& options = {});
  Tensor operator()(const Tensor& x) const;

  Parameter weight;  ///< (out, in / groups, kernel height, kernel width)
  Parameter bias;    ///< (out), or undefined
  Conv2dOptions options;
  MINIPARALLEL_MEMBERS(weight, bias, options)
};

}  // namespace nn
}  // namespace miniparallel
