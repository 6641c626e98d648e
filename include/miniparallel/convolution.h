#pragma once

#include <miniparallel/tensor.h>

#include <cstdint>
#include <optional>

/// Convolution, pooling and resampling. As the functions of ops.h, which includes this header: they throw
/// `Error` for what does not fit, and compute in float32 and float64.

namespace miniparallel {

// --- images: (n, channels, height, width)

/// Height and width; one number stands for both.
struct Size2 {
  std::int64_t height, width;
  constexpr Size2(std::int64_t both) : height(both), width(both) {}  // NOLINT: implicit
  constexpr Size2(std::int64_t h, std::int64_t w) : height(h), width(w) {}
  friend constexpr bool operator==(Size2, Size2) = default;
};
struct Conv2dOptions {
  Size2 stride = 1;
  Size2 padding = 0;        ///< zeros on each side
  Size2 dilation = 1;       ///< distance of the kernel's elements
  std::int64_t groups = 1;  ///< parts of the channels that see only each other; divides both in and out
};
/// x (n, in, h, w), weight (out, in / groups, kh, kw), bias (out) or undefined
/// -> (n, out, (h + 2 padding - dilation (kh - 1) - 1) / stride + 1, likewise).
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
              const Conv2dOptions& options = {});

/// A Size2 that may be left out; `{2, 1}` is height and width here too.
struct OptionalSize2 : std::optional<Size2> {
  using std::optional<Size2>::optional;
  constexpr OptionalSize2() = default;
  constexpr OptionalSize2(std::int64_t h, std::int64_t w) : std::optional<Size2>(Size2(h, w)) {}
};
struct Pool2dOptions {
  OptionalSize2 stride = {};  ///< the kernel's size when not given
  Size2 padding = 0;          ///< at most half of the kernel
};
/// x (n, channels, h, w) -> (n, channels, (h + 2 padding - kernel) / stride + 1, likewise): the largest
/// element of each window. Of equal ones the first takes the gradient.
Tensor max_pool2d(const Tensor& x, Size2 kernel, const Pool2dOptions& options = {});
/// The same with the mean of each window; padding counts as zeros.
Tensor avg_pool2d(const Tensor& x, Size2 kernel, const Pool2dOptions& options = {});
/// x (n, channels, h, w) -> (n, channels, output): means of windows that cover the image evenly.
Tensor adaptive_avg_pool2d(const Tensor& x, Size2 output);
/// x (n, channels, h, w) -> (n, channels, h scale, w scale): each pixel repeated (nearest neighbours).
Tensor upsample(const Tensor& x, Size2 scale_factor);

}  // namespace miniparallel
