#include "engine/autograd/trace.h"
#include "engine/ops/autocast.h"
#include "engine/ops/common.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <optional>

// Resampling of images, one dimension after the other.

namespace miniparallel {
namespace {

constexpr const char* kOp = "interpolate";

/// Places in the output as places in the input, where it has `from` and `to` pixels. Multiplied before it is
/// divided: whole results are exact.
Tensor in_input(const Tensor& places, std::int64_t from, std::int64_t to, const InterpolateOptions& options) {
  if (options.align_corners) return places * (from - 1) / std::max<std::int64_t>(to - 1, 1);
  return options.scale_factor ? places / *options.scale_factor : places * from / to;
}

/// Shares of four neighbours, the second of which is `t` before the point. (Keys 1981.)
std::array<Tensor, 4> cubic_shares(const Tensor& t) {
  constexpr double a = -0.75;
  const auto near = [](const Tensor& d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };
  const auto far = [](const Tensor& d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };
  return {far(t + 1), near(t), near(1 - t), far(2 - t)};
}

/// Dimension `dim`, 2 or 3, with `size` elements.
Tensor resampled(const Tensor& x, int dim, std::int64_t size, const InterpolateOptions& options) {
  const std::int64_t n = x.size(dim);
  const Tensor place = arange(size, {.dtype = float64, .device = x.device()});
  const auto index = [&](const Tensor& point) { return clamp(floor(point), 0, n - 1).to(int64); };
  if (options.mode == Interpolation::nearest)
    return index_select(x, dim, index(in_input(place, n, size, options)));
  const Tensor free = options.align_corners ? in_input(place, n, size, options)
                                            : in_input(place + 0.5, n, size, options) - 0.5;
  const auto along = [&](const Tensor& weight) {
    return dim == 2 ? weight.to(x.dtype()).unsqueeze(1) : weight.to(x.dtype());
  };
  if (options.mode == Interpolation::bicubic) {
    const Tensor first = floor(free);
    const std::array<Tensor, 4> shares = cubic_shares(free - first);
    const auto term = [&](int i) {
      return index_select(x, dim, index(first + (i - 1))) * along(shares[static_cast<std::size_t>(i)]);
    };
    return term(0) + term(1) + term(2) + term(3);
  }
  const Tensor point = clamp_min(free, 0);
  const Tensor before = index(point), after = clamp(before + 1, 0, n - 1);
  return lerp(index_select(x, dim, before), index_select(x, dim, after), along(point - before));
}

Size2 size_of(const Tensor& x, const InterpolateOptions& options) {
  check(options.size.has_value() != options.scale_factor.has_value(), kOp, ": got ",
        options.size ? "a size and a scale_factor" : "neither size nor scale_factor", "; give one of them");
  if (options.size) {
    check(options.size->height > 0 && options.size->width > 0, kOp, ": got size ", options.size->height,
          " x ", options.size->width, "; it must be at least 1");
    return *options.size;
  }
  const double factor = *options.scale_factor;
  const auto scaled = [&](std::int64_t size) {
    const double result = std::floor(static_cast<double>(size) * factor);
    check(factor > 0 && result >= 1 && result < 0x1p62, kOp, ": scale_factor ", factor, " gives ", x.shape(),
          " a size of ", result, "; it must be at least 1, and fit 63 bits");
    return static_cast<std::int64_t>(result);
  };
  return {scaled(x.size(2)), scaled(x.size(3))};
}

/// How often each pixel comes, if each comes equally often.
std::optional<Size2> repetitions(const Tensor& x, Size2 size, const InterpolateOptions& options) {
  const std::int64_t down = size.height / x.size(2), across = size.width / x.size(3);
  const bool whole = size.height == down * x.size(2) && size.width == across * x.size(3);
  if (!whole || (down == 1 && across == 1)) return {};
  if (options.scale_factor && !(*options.scale_factor == down && *options.scale_factor == across)) return {};
  return Size2{down, across};
}

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

Tensor interpolate(const Tensor& x, const InterpolateOptions& options) try {
  MP_AUTOCAST(interpolate, x, options);
  check_floating(kOp, x);
  check(x.dim() == 4 && x.size(2) > 0 && x.size(3) > 0, kOp, ": got shape ", x.shape(),
        "; it must be (n, channels, height, width), with pixels");
  check(!options.align_corners || options.mode != Interpolation::nearest, kOp,
        ": align_corners is an option of bilinear and bicubic; leave it out for nearest");
  const Size2 size = size_of(x, options);
  if (options.mode == Interpolation::nearest)
    if (const auto times = repetitions(x, size, options)) return upsample(x, *times);
  if (is_half(x)) return in_float32(MP_OP(interpolate), x, options);
  return resampled(resampled(x, 2, size.height, options), 3, size.width, options);
} catch (const Error& error) {
  rethrow_as(kOp, error);
}

Tensor upsample(const Tensor& x, Size2 scale_factor) {
  const char* const op = "upsample";
  const auto [down, across] = scale_factor;
  check_defined(op, x);
  check(x.dim() == 4, op, ": got shape ", x.shape(), "; it must be (n, channels, height, width)");
  check(down > 0 && across > 0, op, ": the scale factors are ", down, " and ", across,
        "; they must be at least 1");
  const std::int64_t n = x.size(0), channels = x.size(1), height = x.size(2), width = x.size(3);
  const auto is_power = [](std::int64_t factor) {
    return std::has_single_bit(static_cast<std::uint64_t>(factor));
  };
  if (x.impl()->channels_last && is_power(down) && is_power(across) &&
      autograd::tracing == nullptr)  // which knows the ops below
    return upsample_channels_last(x, down, across);
  return x.unsqueeze(3)
      .unsqueeze(5)
      .expand({n, channels, height, down, width, across})
      .reshape({n, channels, height * down, width * across});
}

}  // namespace miniparallel
