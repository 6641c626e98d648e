#include "engine/autograd/trace.h"
#include "engine/ops/common.h"

#include <bit>

namespace miniparallel {
namespace {

/// Of a channels-last tensor, which has no views, in one copy. The gradient is the sum of each window: so
/// many times its mean. Of a power of 2 nothing is rounded twice but float16's numbers below 6e-5.
Tensor upsample_channels_last(const Tensor& x, std::int64_t down, std::int64_t across) {
  const std::int64_t n = x.size(0), channels = x.size(1), height = x.size(2), width = x.size(3);
  Tensor y = make_channels_last({n, channels, height * down, width * across}, x.dtype(), x.device());
  const std::int64_t pixel = channels, row = width * across * pixel;
  kernels::ElementwiseArgs args;
  args.layout = kernels::make_layout({n, height, down, width, across, channels},
                                     {{height * down * row, down * row, row, across * pixel, pixel, 1},
                                      {height * width * pixel, width * pixel, 0, pixel, 0, 1}});
  args.operands[0] = raw(y);
  args.operands[1] = raw(x);
  backend(y).elementwise.convert(x.dtype(), y.dtype(), args, stream(y));
  if (recording(x))
    record("upsample", y, {x}, [down, across](Backward& b) {
      b.set(0, avg_pool2d(in_channels_last(b.grad()), {down, across}) * (down * across));
    });
  return y;
}

}  // namespace

Tensor upsample(const Tensor& x, Size2 scale_factor) {
  const char* const op = "upsample";
  const auto [down, across] = scale_factor;
  check_defined(op, x);
  check(x.dim() == 4, op, ": got shape ", x.shape(), "; it must be (n, channels, height, width)");
  check(down > 0 && across > 0, op, ": the scale factors are ", down, " and ", across,
        "; they must be at least 1");
  const std::int64_t n = x.size(0), channels = x.size(1), height = x.size(2), width = x.size(3);
  const bool is_power = std::has_single_bit(static_cast<std::uint64_t>(down * across));
  if (x.impl()->channels_last && is_power && autograd::tracing == nullptr)  // which knows the ops below
    return upsample_channels_last(x, down, across);
  return x.unsqueeze(3)
      .unsqueeze(5)
      .expand({n, channels, height, down, width, across})
      .reshape({n, channels, height * down, width * across});
}

}  // namespace miniparallel
