#include "engine/ops/autocast.h"
#include "engine/ops/common.h"
#include "engine/ops/conv2d.h"

#include <algorithm>

namespace miniparallel {
namespace {

constexpr const char* kOp = "conv_transpose2d";

std::string text(Size2 size) { return message(size.height, " x ", size.width); }

void check_options(const ConvTranspose2dOptions& o) {
  const auto at_least = [](Size2 size, std::int64_t least) {
    return size.height >= least && size.width >= least;
  };
  check(at_least(o.stride, 1) && at_least(o.dilation, 1), kOp, ": got stride ", text(o.stride),
        " and dilation ", text(o.dilation), "; both must be at least 1");
  check(at_least(o.padding, 0), kOp, ": got padding ", text(o.padding), "; it must not be negative");
  check(at_least(o.output_padding, 0) &&
            o.output_padding.height < std::max(o.stride.height, o.dilation.height) &&
            o.output_padding.width < std::max(o.stride.width, o.dilation.width),
        kOp, ": got output_padding ", text(o.output_padding), " with stride ", text(o.stride),
        " and dilation ", text(o.dilation), "; it must be at least 0 and below one of them");
  check(o.groups > 0, kOp, ": got groups ", o.groups, "; there must be at least 1");
}

void check_arguments(const Tensor& x, const Tensor& weight, const Tensor& bias,
                     const ConvTranspose2dOptions& o) {
  check_defined(kOp, x);
  check_defined(kOp, weight);
  check_same_device(kOp, {x, weight, bias});
  check_floating(kOp, x);
  check_same_dtype(kOp, {x, weight, bias});
  check_options(o);
  check(x.dim() == 4, kOp, ": input has shape ", x.shape(), "; it must be (n, channels, height, width)",
        x.dim() == 3 ? ", for one image unsqueeze(0)" : "");
  check(weight.dim() == 4, kOp, ": weight has shape ", weight.shape(),
        "; it must be (in, out / groups, kernel height, kernel width)");
  check(x.size(1) == weight.size(0) && x.size(1) % o.groups == 0, kOp, ": input of shape ", x.shape(),
        " has ", x.size(1), " channels, weight of shape ", weight.shape(), " with groups ", o.groups,
        " is for ", weight.size(0), "; they must be equal, and groups divide them");
  check(!bias.defined() || bias.shape() == Shape{weight.size(1) * o.groups}, kOp, ": bias has shape ",
        bias.defined() ? bias.shape() : Shape{}, "; it must be [", weight.size(1) * o.groups, "]");
}

std::int64_t output_size(std::int64_t size, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
                         std::int64_t output_padding, std::int64_t dilation) {
  std::int64_t steps = 0, reach = 0, whole = 0, cut = 0, result = 0;
  const bool overflow =
      __builtin_mul_overflow(size - 1, stride, &steps) ||
      __builtin_mul_overflow(kernel - 1, dilation, &reach) || __builtin_add_overflow(steps, reach, &whole) ||
      __builtin_mul_overflow(padding, 2, &cut) || __builtin_sub_overflow(whole, cut, &result) ||
      __builtin_add_overflow(result, output_padding + 1, &result);
  check(!overflow, kOp, ": a size of ", size, " with stride ", stride, ", padding ", padding,
        " and a kernel of ", kernel, " with dilation ", dilation,
        " gives a size that does not fit 63 bits; choose smaller ones");
  return size > 0 && kernel > 0 ? result : 0;
}

/// A convolution of the output would find more places than the input has where the output padding reaches the
/// stride. Such a side is computed without padding, then cut, and filled with zeros beyond its end.
Tensor with_long_padding(const Tensor& x, const Tensor& weight, ConvTranspose2dOptions o) {
  std::vector<std::int64_t> margins(4, 0);
  const auto defer = [&](std::int64_t stride, std::int64_t& padding, std::int64_t& more, std::size_t side) {
    if (more < stride) return;
    margins[side] = -padding;
    margins[side + 1] = more - padding;
    padding = more = 0;
  };
  defer(o.stride.height, o.padding.height, o.output_padding.height, 2);
  defer(o.stride.width, o.padding.width, o.output_padding.width, 0);
  return pad(conv_transpose2d(x, weight, {}, o), margins);
}

}  // namespace

Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const ConvTranspose2dOptions& o) try {
  MP_AUTOCAST(conv_transpose2d, x, weight, bias, o);
  check_arguments(x, weight, bias, o);
  const std::int64_t channels = weight.size(1) * o.groups;
  const Shape shape{x.size(0), channels,
                    output_size(x.size(2), weight.size(2), o.stride.height, o.padding.height,
                                o.output_padding.height, o.dilation.height),
                    output_size(x.size(3), weight.size(3), o.stride.width, o.padding.width,
                                o.output_padding.width, o.dilation.width)};
  check(shape[2] > 0 && shape[3] > 0, kOp, ": input of shape ", x.shape(), ", weight of shape ",
        weight.shape(), ", stride ", text(o.stride), ", padding ", text(o.padding), " and dilation ",
        text(o.dilation), " leave nothing of the output; use a larger input or kernel, or less padding");
  const bool is_long = o.output_padding.height >= o.stride.height || o.output_padding.width >= o.stride.width;
  if (is_half(x) && (is_long || !convolves_halves(x)))
    return in_float32(MP_OP(conv_transpose2d), x, weight, bias, o);
  if (!is_long)
    return conv2d_data_gradient(
        x, weight, bias, shape,
        {.stride = o.stride, .padding = o.padding, .dilation = o.dilation, .groups = o.groups});
  const Tensor y = with_long_padding(x, weight, o);
  return bias.defined() ? y + bias.view({1, channels, 1, 1}) : y;
} catch (const Error& error) {
  rethrow_as(kOp, error);
}

}  // namespace miniparallel
