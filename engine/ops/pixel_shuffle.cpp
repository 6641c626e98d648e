#include "engine/ops/common.h"

namespace miniparallel {
namespace {

/// x (..., a, b, c) as (count, a, b, c): so the dimensions fit however many come before.
Tensor images(const char* op, const Tensor& x, std::int64_t factor) {
  check_defined(op, x);
  check(x.dim() >= 3, op, ": got shape ", x.shape(), "; it must be (..., channels, height, width)");
  check(factor > 0, op, ": got factor ", factor, "; it must be at least 1");
  const Shape leading(x.shape().begin(), x.shape().end() - 3);
  return x.reshape({leading.numel(), x.size(-3), x.size(-2), x.size(-1)});
}

Tensor with_leading(const Tensor& y, const Tensor& x) {
  Shape shape(x.shape().begin(), x.shape().end() - 3);
  for (int d = 1; d < 4; ++d) shape.push_back(y.size(d));
  return y.view(shape);
}

}  // namespace

Tensor pixel_shuffle(const Tensor& x, std::int64_t r) {
  const char* const op = "pixel_shuffle";
  const Tensor all = images(op, x, r);
  const std::int64_t n = all.size(0), channels = all.size(1), h = all.size(2), w = all.size(3);
  check(r <= channels && channels % r == 0 && channels / r % r == 0, op, ": ", channels, " channels of ",
        x.shape(), " are not a multiple of ", r, " x ", r, "; choose another factor");
  const Tensor squares = all.reshape({n, channels / r / r, r, r, h, w}).permute({0, 1, 4, 2, 5, 3});
  return with_leading(squares.reshape({n, channels / r / r, h * r, w * r}), x);
}

Tensor pixel_unshuffle(const Tensor& x, std::int64_t r) {
  const char* const op = "pixel_unshuffle";
  const Tensor all = images(op, x, r);
  const std::int64_t n = all.size(0), channels = all.size(1), h = all.size(2), w = all.size(3);
  check(h % r == 0 && w % r == 0, op, ": height and width of ", x.shape(), " are not multiples of ", r,
        "; choose another factor");
  const Tensor squares = all.reshape({n, channels, h / r, r, w / r, r}).permute({0, 1, 3, 5, 2, 4});
  return with_leading(squares.reshape({n, channels * r * r, h / r, w / r}), x);
}

}  // namespace miniparallel
