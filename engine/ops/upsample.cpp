#include "engine/ops/common.h"

namespace miniparallel {

Tensor upsample(const Tensor& x, Size2 scale_factor) {
  const char* const op = "upsample";
  const auto [down, across] = scale_factor;
  check_defined(op, x);
  check(x.dim() == 4, op, ": got shape ", x.shape(), "; it must be (n, channels, height, width)");
  check(down > 0 && across > 0, op, ": the scale factors are ", down, " and ", across,
        "; they must be at least 1");
  const std::int64_t n = x.size(0), channels = x.size(1), height = x.size(2), width = x.size(3);
  return x.unsqueeze(3)
      .unsqueeze(5)
      .expand({n, channels, height, down, width, across})
      .reshape({n, channels, height * down, width * across});
}

}  // namespace miniparallel
