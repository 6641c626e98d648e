#include "engine/ops/common.h"

#include <algorithm>

// Elements around a tensor.

namespace miniparallel {
namespace {

/// What is added before and after each dimension.
struct Margins {
  Shape before, after;

  Margins(const std::vector<std::int64_t>& padding, const Tensor& x) {
    check(padding.size() % 2 == 0 && static_cast<int>(padding.size()) <= 2 * x.dim(), "pad: got ",
          padding.size(), " numbers for shape ", x.shape(),
          "; name two for each dimension, from the last one on");
    before = after = Shape::filled(x.dim(), 0);
    for (std::size_t i = 0; i < padding.size(); i += 2) {
      const int d = x.dim() - 1 - static_cast<int>(i) / 2;
      before[d] = padding[i];
      after[d] = padding[i + 1];
      const std::int64_t n = x.size(d), left = n + std::min<std::int64_t>(before[d], 0);
      check(left >= 0 && after[d] >= -left, "pad: ", before[d], " and ", after[d],
            " take more than dimension ", d, " of ", x.shape(), " has; leave some of it");
      std::int64_t padded = 0;
      const bool fits = !__builtin_add_overflow(n, before[d], &padded) &&
                        !__builtin_add_overflow(padded, after[d], &padded);
      check(fits, "pad: ", before[d], " and ", after[d], " give dimension ", d, " of ", x.shape(),
            " a size that does not fit 63 bits; add fewer elements");
    }
  }
};

/// `x` without what negative margins take away.
Tensor cropped(Tensor x, const Margins& margins) {
  for (int d = 0; d < x.dim(); ++d) {
    const std::int64_t first = std::max<std::int64_t>(-margins.before[d], 0);
    const std::int64_t rest = x.size(d) - first - std::max<std::int64_t>(-margins.after[d], 0);
    if (rest != x.size(d)) x = x.narrow(d, std::min(first, x.size(d)), std::max<std::int64_t>(rest, 0));
  }
  return x;
}

/// The part of a padded tensor that shows the elements of the cropped one.
Tensor inside(Tensor whole, const Margins& margins, const Shape& shape) {
  for (int d = 0; d < shape.rank(); ++d)
    if (shape[d] != whole.size(d))
      whole = whole.narrow(d, std::max<std::int64_t>(margins.before[d], 0), shape[d]);
  return whole;
}

Tensor pad_with(const Tensor& x, const Margins& margins, Scalar value) {
  Shape shape = x.shape();
  for (int d = 0; d < x.dim(); ++d)
    shape[d] += std::max<std::int64_t>(margins.before[d], 0) + std::max<std::int64_t>(margins.after[d], 0);
  Tensor y = make_full("pad", shape, value, {.dtype = x.dtype(), .device = x.device()});
  {
    const NoGradGuard no_grad;
    inside(y, margins, x.shape()).copy_(x);
  }
  if (recording(x))
    record("pad", y, {x},
           [margins, from = x.shape()](Backward& b) { b.set(0, inside(b.grad(), margins, from)); });
  return y;
}

/// Which of `n` elements stands at each place from -before to n + after: int64.
Tensor sources(PadMode mode, std::int64_t n, std::int64_t before, std::int64_t after, Device device) {
  const Tensor place = arange(-before, n + after, 1, {.dtype = int64, .device = device});
  if (mode == PadMode::replicate) return clamp(place, 0, n - 1);
  if (mode == PadMode::circular) return remainder(place, n);
  return (n - 1) - abs((n - 1) - abs(place));
}

Tensor pad_from_itself(Tensor x, const Margins& margins, PadMode mode) {
  for (int d = 0; d < x.dim(); ++d) {
    const std::int64_t n = x.size(d), before = std::max<std::int64_t>(margins.before[d], 0),
                       after = std::max<std::int64_t>(margins.after[d], 0);
    if (before == 0 && after == 0) continue;
    const std::int64_t most = mode == PadMode::reflect ? n - 1 : n;
    check(n > 0 && (mode == PadMode::replicate || std::max(before, after) <= most), "pad: dimension ", d,
          " of ", x.shape(), " cannot give ", std::max(before, after),
          " elements from itself; pad by at most ", std::max<std::int64_t>(most, 0), ", or with a constant");
    x = index_select(x, d, sources(mode, n, before, after, x.device()));
  }
  return x;
}

}  // namespace

Tensor pad(const Tensor& x, const std::vector<std::int64_t>& padding, PadMode mode, Scalar value) {
  check_defined("pad", x);
  const Margins margins(padding, x);
  const Tensor part = cropped(x, margins);
  return mode == PadMode::constant ? pad_with(part, margins, value) : pad_from_itself(part, margins, mode);
}

}  // namespace miniparallel
