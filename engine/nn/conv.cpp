#include <miniparallel/nn/conv.h>

#include <miniparallel/nn/init.h>

#include "engine/error.h"
#include "engine/nn/observer.h"

#include <cmath>

namespace miniparallel::nn {

Conv2d::Conv2d(std::int64_t in_channels, std::int64_t out_channels, Size2 kernel, const Conv2dOptions& chosen)
    : options(chosen) {
  const std::int64_t groups = options.groups;
  check(in_channels > 0 && out_channels > 0 && kernel.height > 0 && kernel.width > 0, "Conv2d: got ",
        in_channels, " channels in, ", out_channels, " out and a kernel of (", kernel.height, ", ",
        kernel.width, "); each must be at least 1");
  check(groups > 0 && in_channels % groups == 0 && out_channels % groups == 0, "Conv2d: ", groups,
        " groups do not divide ", in_channels, " channels in and ", out_channels,
        " out; choose a divisor of both");
  weight = Parameter(empty({out_channels, in_channels / groups, kernel.height, kernel.width}));
  const double bound = 1 / std::sqrt(init::fans(weight).in);
  init::uniform_(weight, -bound, bound);
  if (options.bias) bias = Parameter(init::uniform_(empty({out_channels}), -bound, bound));
}

Tensor Conv2d::operator()(const Tensor& x) const {
  return observed(*this, conv2d(x, weight, bias,
                                {.stride = options.stride,
                                 .padding = options.padding,
                                 .dilation = options.dilation,
                                 .groups = options.groups}));
}

}  // namespace miniparallel::nn
