#include "engine/ops/autocast.h"
#include "engine/ops/common.h"

#include <cmath>
#include <limits>

// Images at points between their pixels.

namespace miniparallel {
namespace {

constexpr const char* kOp = "grid_sample";

/// A point of [-1, 1] as a place among `n` pixels.
Tensor unnormalized(const Tensor& point, std::int64_t n, bool align_corners) {
  const auto size = static_cast<double>(n);
  return align_corners ? (point + 1) * ((size - 1) / 2) : ((point + 1) * size - 1) * 0.5;
}

/// A place mirrored at both borders, as often as it takes to come between them.
Tensor reflected(const Tensor& place, std::int64_t n, bool align_corners) {
  const double low = align_corners ? 0 : -0.5, span = static_cast<double>(align_corners ? n - 1 : n);
  if (span == 0) return place * 0;
  const Tensor distance = abs(place - low), turns = floor(distance / span).detach();
  const Tensor rest = distance - turns * span;
  return where(remainder(turns, 2) == 0, rest, span - rest) + low;
}

Tensor source_of(const Tensor& point, std::int64_t n, const GridSampleOptions& o) {
  Tensor place = unnormalized(point, n, o.align_corners);
  if (o.padding_mode == Outside::reflection) place = reflected(place, n, o.align_corners);
  if (o.padding_mode != Outside::zeros) place = clamp(place, 0, n - 1);
  // Far outside, or not a number: a place that is no pixel, which an index can hold.
  const Tensor far = clamp(place, -2, n + 1);
  return where(isnan(far.detach()), -2, far);
}

/// Pixels of each image at whole places (n, h', w'), 0 outside: (n, channels, h', w').
Tensor pixels(const Tensor& x, const Tensor& row, const Tensor& column) {
  const std::int64_t n = x.size(0), channels = x.size(1), height = x.size(2), width = x.size(3);
  const Tensor inside = (row >= 0) & (row < height) & (column >= 0) & (column < width);
  const Tensor place = where(inside, row * width + column, 0).to(int64);
  const Shape shape{n, channels, row.size(1), row.size(2)};
  const Tensor index = place.flatten(1).unsqueeze(1).expand({n, channels, shape[2] * shape[3]});
  const Tensor values = gather(x.flatten(2), 2, index).view(shape);
  return where(inside.unsqueeze(1), values, 0);
}

void check_arguments(const Tensor& x, const Tensor& grid, const GridSampleOptions& options) {
  check_defined(kOp, x);
  check_defined(kOp, grid);
  check_floating(kOp, x);
  check_same_device(kOp, {x, grid});
  check_same_dtype(kOp, {x, grid});
  check(x.dim() == 4 && x.size(2) > 0 && x.size(3) > 0, kOp, ": input has shape ", x.shape(),
        "; it must be (n, channels, height, width), with pixels");
  check(grid.dim() == 4 && grid.size(0) == x.size(0) && grid.size(3) == 2, kOp, ": the grid has shape ",
        grid.shape(), " for an input of shape ", x.shape(), "; it must be (n, height, width, 2)");
  check(options.mode != Interpolation::bicubic, kOp, ": the mode is bicubic; take bilinear or nearest");
}

}  // namespace

Tensor grid_sample(const Tensor& x, const Tensor& grid, const GridSampleOptions& o) try {
  MP_AUTOCAST(grid_sample, x, grid, o);
  check_arguments(x, grid, o);
  if (is_half(x)) return in_float32(MP_OP(grid_sample), x, grid, o);
  const Tensor across = source_of(grid.select(3, 0), x.size(3), o);
  const Tensor down = source_of(grid.select(3, 1), x.size(2), o);
  if (o.mode == Interpolation::nearest) return pixels(x, round(down.detach()), round(across.detach()));
  const Tensor left = floor(across.detach()), top = floor(down.detach());
  const Tensor right_share = (across - left).unsqueeze(1), bottom_share = (down - top).unsqueeze(1);
  const auto row = [&](const Tensor& at) {
    return pixels(x, at, left) * (1 - right_share) + pixels(x, at, left + 1) * right_share;
  };
  return row(top) * (1 - bottom_share) + row(top + 1) * bottom_share;
} catch (const Error& error) {
  rethrow_as(kOp, error);
}

Tensor affine_grid(const Tensor& theta, const Shape& size, bool align_corners) try {
  const char* const op = "affine_grid";
  check_floating(op, theta);
  if (is_half(theta)) return in_float32(MP_OP(affine_grid), theta, size, align_corners);
  check(theta.dim() == 3 && theta.size(1) == 2 && theta.size(2) == 3, op, ": theta has shape ", theta.shape(),
        "; it must be (n, 2, 3)");
  check(size.rank() == 4 && size[0] == theta.size(0) && size[2] > 0 && size[3] > 0, op, ": the size is ",
        size, " for theta of shape ", theta.shape(), "; it must be (n, channels, height, width)");
  const auto points = [&](std::int64_t n) {
    if (n == 1 && align_corners) return zeros({1}, {.dtype = float64});
    const double edge = align_corners ? 1 : 1 - 1 / static_cast<double>(n);
    return linspace(-edge, edge, n, {.dtype = float64});
  };
  const std::vector<Tensor> places = meshgrid({points(size[2]), points(size[3])});
  const Tensor base =
      stack({places[1], places[0], ones_like(places[0])}, 2).to(theta.device(), theta.dtype());
  return matmul(base.view({1, size[2] * size[3], 3}), theta.transpose(1, 2))
      .view({size[0], size[2], size[3], 2});
} catch (const Error& error) {
  rethrow_as("affine_grid", error);
}

}  // namespace miniparallel
