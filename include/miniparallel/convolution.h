#pragma once

#include <miniparallel/tensor.h>

#include <concepts>
#include <cstdint>
#include <optional>
#include <string_view>

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
/// "same" or "valid"; `Error` for another name.
struct PaddingName {
  explicit PaddingName(std::string_view name);
  bool same;
};

/// Zeros on each side: numbers, or a name. "valid" is none. "same" keeps height and width, at stride 1; the
/// zeros are dilation (kernel - 1) in all, of which the last side has one more where that is odd.
struct Padding2 : Size2 {
  bool same = false;
  constexpr Padding2(std::int64_t both) : Size2(both) {}  // NOLINT: implicit, as all of them
  constexpr Padding2(std::int64_t h, std::int64_t w) : Size2(h, w) {}
  constexpr Padding2(Size2 size) : Size2(size) {}  // NOLINT
  template <std::convertible_to<std::string_view> Name>
  Padding2(const Name& name) : Size2(0), same(PaddingName(name).same) {}  // NOLINT
};

struct Conv2dOptions {
  Size2 stride = 1;
  Padding2 padding = 0;
  Size2 dilation = 1;       ///< distance of the kernel's elements
  std::int64_t groups = 1;  ///< parts of the channels that see only each other; divides both in and out
};
/// x (n, in, h, w), weight (out, in / groups, kh, kw), bias (out) or undefined
/// -> (n, out, (h + 2 padding - dilation (kh - 1) - 1) / stride + 1, likewise). On the CPU, where kernels of
/// 3 x 3 at stride 1 take fewer products by adding inputs first, an infinite input may make its neighbours'
/// results NaN.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
              const Conv2dOptions& options = {});

struct ConvTranspose2dOptions {
  Size2 stride = 1;
  Size2 padding = 0;         ///< that of the convolution: so much less on each side
  Size2 output_padding = 0;  ///< so much more on the last side; below the stride or the dilation
  std::int64_t groups = 1;
  Size2 dilation = 1;
};
/// The gradient of a `conv2d` with these options by its input, as a function: x (n, in, h, w), weight (in,
/// out / groups, kh, kw), bias (out) or undefined
/// -> (n, out, (h - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1, likewise).
Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                        const ConvTranspose2dOptions& options = {});

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
/// The same with the largest element of each window; of equal ones the first takes the gradient.
Tensor adaptive_max_pool2d(const Tensor& x, Size2 output);
/// x (n, channels, h, w) -> (n, channels, h scale, w scale): each pixel repeated (nearest neighbours).
Tensor upsample(const Tensor& x, Size2 scale_factor);

enum class Interpolation { nearest, bilinear, bicubic };
/// `size` or `scale_factor`, one of them.
struct InterpolateOptions {
  OptionalSize2 size = {};
  std::optional<double> scale_factor = {};  ///< of height and width, rounded down
  Interpolation mode = Interpolation::nearest;
  bool align_corners = false;  ///< the corners of both images are the same points; not with nearest
};
/// x (n, channels, h, w) -> (n, channels, size): the nearest pixel at or before each point, or the mean of
/// the four around it, weighted by how near they are, or a cubic through the sixteen around it. (Keys: "Cubic
/// convolution interpolation", 1981, with -0.75.)
Tensor interpolate(const Tensor& x, const InterpolateOptions& options);

enum class Outside {
  zeros,       ///< 0
  border,      ///< the nearest pixel
  reflection,  ///< the image again, mirrored at its border
};
struct GridSampleOptions {
  Interpolation mode = Interpolation::bilinear;  ///< bilinear or nearest
  Outside padding_mode = Outside::zeros;         ///< what points outside of the image see
  bool align_corners = false;  ///< -1 and 1 are the centres of border pixels, not their edges
};
/// x (n, channels, h, w), grid (n, h', w', 2) of points (across, down) from -1 to 1 -> (n, channels, h', w'):
/// the image at these points. Differentiable by both; nearest has no gradient for the grid. (Jaderberg et
/// al.: "Spatial transformer networks", 2015.)
Tensor grid_sample(const Tensor& x, const Tensor& grid, const GridSampleOptions& options = {});
/// theta (n, 2, 3) -> the grid (n, h, w, 2) of the points theta (across, down, 1); `size` (n, channels, h,
/// w).
Tensor affine_grid(const Tensor& theta, const Shape& size, bool align_corners = false);

struct UnfoldOptions {
  Size2 dilation = 1;
  Size2 padding = 0;
  Size2 stride = 1;
};
/// x (n, channels, h, w) -> (n, channels kh kw, windows): the windows of a convolution as columns.
Tensor unfold(const Tensor& x, Size2 kernel, const UnfoldOptions& options = {});
/// x (n, channels kh kw, windows) -> (n, channels, output): the sum of what lies on each pixel.
Tensor fold(const Tensor& x, Size2 output, Size2 kernel, const UnfoldOptions& options = {});

/// x (..., channels r^2, h, w) -> (..., channels, h r, w r): r^2 channels become a square of pixels. (Shi et
/// al.: "Real-time single image and video super-resolution using an efficient sub-pixel convolutional neural
/// network", 2016.)
Tensor pixel_shuffle(const Tensor& x, std::int64_t upscale_factor);
/// x (..., channels, h r, w r) -> (..., channels r^2, h, w), its inverse.
Tensor pixel_unshuffle(const Tensor& x, std::int64_t downscale_factor);

// --- sequences: (n, channels, length), as images of one row

/// `Padding2` of a length.
struct Padding1 {
  std::int64_t size = 0;
  bool same = false;
  constexpr Padding1(std::int64_t each) : size(each) {}  // NOLINT: implicit, as all of them
  template <std::convertible_to<std::string_view> Name>
  Padding1(const Name& name) : same(PaddingName(name).same) {}  // NOLINT
};
struct Conv1dOptions {
  std::int64_t stride = 1;
  Padding1 padding = 0;
  std::int64_t dilation = 1;
  std::int64_t groups = 1;
};
/// x (n, in, l), weight (out, in / groups, k), bias (out) or undefined -> (n, out, l'), as in `conv2d`.
Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
              const Conv1dOptions& options = {});

struct Pool1dOptions {
  std::optional<std::int64_t> stride = {};  ///< the kernel's size when not given
  std::int64_t padding = 0;                 ///< at most half of the kernel
};
Tensor max_pool1d(const Tensor& x, std::int64_t kernel, const Pool1dOptions& options = {});
Tensor avg_pool1d(const Tensor& x, std::int64_t kernel, const Pool1dOptions& options = {});
Tensor adaptive_avg_pool1d(const Tensor& x, std::int64_t output);
Tensor adaptive_max_pool1d(const Tensor& x, std::int64_t output);
struct ConvTranspose1dOptions {
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t output_padding = 0;
  std::int64_t groups = 1;
  std::int64_t dilation = 1;
};
/// `conv_transpose2d` of a sequence: weight (in, out / groups, k).
Tensor conv_transpose1d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                        const ConvTranspose1dOptions& options = {});

// --- volumes: (n, channels, depth, height, width), made of images. Of a convolution each plane of the result
// is one of the planes that its kernel sees, side by side as channels: memory for as many copies of x as the
// kernel is deep.

/// Depth, height and width; one number stands for all.
struct Size3 {
  std::int64_t depth, height, width;
  constexpr Size3(std::int64_t all) : depth(all), height(all), width(all) {}  // NOLINT: implicit
  constexpr Size3(std::int64_t d, std::int64_t h, std::int64_t w) : depth(d), height(h), width(w) {}
  friend constexpr bool operator==(Size3, Size3) = default;
};
/// `Padding2` of a volume.
struct Padding3 : Size3 {
  bool same = false;
  constexpr Padding3(std::int64_t all) : Size3(all) {}  // NOLINT: implicit, as all of them
  constexpr Padding3(std::int64_t d, std::int64_t h, std::int64_t w) : Size3(d, h, w) {}
  constexpr Padding3(Size3 size) : Size3(size) {}  // NOLINT
  template <std::convertible_to<std::string_view> Name>
  Padding3(const Name& name) : Size3(0), same(PaddingName(name).same) {}  // NOLINT
};
struct Conv3dOptions {
  Size3 stride = 1;
  Padding3 padding = 0;
  Size3 dilation = 1;
  std::int64_t groups = 1;
};
/// x (n, in, d, h, w), weight (out, in / groups, kd, kh, kw), bias (out) or undefined -> (n, out, d', h',
/// w'), as in `conv2d`.
Tensor conv3d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
              const Conv3dOptions& options = {});

/// A Size3 that may be left out.
struct OptionalSize3 : std::optional<Size3> {
  using std::optional<Size3>::optional;
  constexpr OptionalSize3() = default;
  constexpr OptionalSize3(std::int64_t d, std::int64_t h, std::int64_t w)
      : std::optional<Size3>(Size3(d, h, w)) {}
};
struct Pool3dOptions {
  OptionalSize3 stride = {};  ///< the kernel's size when not given
  Size3 padding = 0;          ///< at most half of the kernel
};
Tensor max_pool3d(const Tensor& x, Size3 kernel, const Pool3dOptions& options = {});
Tensor avg_pool3d(const Tensor& x, Size3 kernel, const Pool3dOptions& options = {});
Tensor adaptive_avg_pool3d(const Tensor& x, Size3 output);
Tensor adaptive_max_pool3d(const Tensor& x, Size3 output);
struct ConvTranspose3dOptions {
  Size3 stride = 1;
  Size3 padding = 0;
  Size3 output_padding = 0;
  std::int64_t groups = 1;
  Size3 dilation = 1;
};
/// `conv_transpose2d` of a volume: weight (in, out / groups, kd, kh, kw).
Tensor conv_transpose3d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                        const ConvTranspose3dOptions& options = {});

}  // namespace miniparallel
