#include "engine/ops/autocast.h"
#include "engine/ops/bag.h"
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

/// The pixels of all images as rows of a table of their channels; each row of an image has one more, of
/// zeros, behind its last.
Tensor table_of(const Tensor& x) { return pad(x.permute({0, 2, 3, 1}), {0, 0, 0, 1}).flatten(0, 2); }

/// Which row of the table each whole place (n, h', w') is; outside of the image one of zeros.
Tensor places(const Tensor& x, const Tensor& row, const Tensor& column) {
  const std::int64_t n = x.size(0), height = x.size(2), width = x.size(3);
  const Tensor inside = (row >= 0) & (row < height) & (column >= 0) & (column < width);
  const Tensor place = where(inside, row.to(int64) * (width + 1) + column.to(int64), width);
  return place + arange(n, {.dtype = int64, .device = x.device()}).view({n, 1, 1}) * (height * (width + 1));
}

/// At each point the sum of the pixels at its places (n, h', w', count) times their shares, which may be
/// undefined: (n, channels, h', w').
Tensor sampled(const Tensor& x, const Tensor& places, const Tensor& shares) {
  const Bags bags{.op = kOp, .index = places.flatten(), .count = places.numel() / places.size(3)};
  const Tensor points = bag_sums(bags, table_of(x), shares.defined() ? shares.flatten() : shares);
  return points.view({x.size(0), places.size(1), places.size(2), x.size(1)})
      .permute({0, 3, 1, 2})
      .contiguous();
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
  if (o.mode == Interpolation::nearest)
    return sampled(x, places(x, round(down.detach()), round(across.detach())).unsqueeze(3), {});
  const Tensor left = floor(across.detach()), top = floor(down.detach());
  const Tensor right_share = across - left, bottom_share = down - top;
  const Tensor left_share = 1 - right_share, top_share = 1 - bottom_share;
  return sampled(x,
                 stack({places(x, top, left), places(x, top, left + 1), places(x, top + 1, left),
                        places(x, top + 1, left + 1)},
                       3),
                 stack({top_share * left_share, top_share * right_share, bottom_share * left_share,
                        bottom_share * right_share},
                       3));
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
