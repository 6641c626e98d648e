#include "engine/ops/autocast.h"
#include "engine/ops/common.h"
#include "engine/ops/conv2d.h"

#include <algorithm>

// Volumes as images: of a convolution each plane of the result is one of the planes that its kernel sees,
// side by side as channels; pools take height and width first, then depth.

namespace miniparallel {
namespace {

std::string text(Size3 size) { return message(size.depth, " x ", size.height, " x ", size.width); }

bool at_least(Size3 size, std::int64_t least) {
  return size.depth >= least && size.height >= least && size.width >= least;
}

void check_volumes(const char* op, const Tensor& x) {
  check_defined(op, x);
  check_floating(op, x);
  check(x.dim() == 5, op, ": input has shape ", x.shape(), "; it must be (n, channels, depth, height, width)",
        x.dim() == 4 ? ", for one volume unsqueeze(0)" : "");
}

/// How many planes of depth the kernel finds.
std::int64_t planes_of(std::int64_t depth, std::int64_t kernel, std::int64_t stride, std::int64_t dilation) {
  std::int64_t reach = 0;
  const bool overflow = __builtin_mul_overflow(kernel - 1, dilation, &reach);
  return overflow || depth <= reach ? 0 : (depth - reach - 1) / stride + 1;
}

/// What is added before and after the depth.
struct DepthPadding {
  std::int64_t before, after;

  DepthPadding(const Conv3dOptions& o, std::int64_t kernel) : before(o.padding.depth), after(before) {
    if (!o.padding.same) return;
    check(o.stride == Size3(1), "conv3d: padding \"same\" goes with stride 1, not ", text(o.stride),
          "; give the padding in numbers");
    const std::int64_t all = o.dilation.depth * (kernel - 1);
    before = all / 2;
    after = all - before;
  }
};

Tensor padded_depth(const Tensor& x, const DepthPadding& padding) {
  if (padding.before == 0 && padding.after == 0) return x;
  return pad(x, {0, 0, 0, 0, padding.before, padding.after});
}

}  // namespace

Tensor conv3d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv3dOptions& o) try {
  MP_AUTOCAST(conv3d, x, weight, bias, o);
  check_volumes("conv3d", x);
  check_defined("conv3d", weight);
  check(weight.dim() == 5, "conv3d: weight has shape ", weight.shape(),
        "; it must be (out, in / groups, kernel depth, height, width)");
  check(at_least(o.stride, 1) && at_least(o.dilation, 1) && at_least(o.padding, 0), "conv3d: got stride ",
        text(o.stride), ", dilation ", text(o.dilation), " and padding ", text(o.padding),
        "; the padding must be at least 0, the others 1");
  check(o.groups > 0 && x.size(1) == weight.size(1) * o.groups, "conv3d: input of shape ", x.shape(), " has ",
        x.size(1), " channels; weight of shape ", weight.shape(), " with groups ", o.groups, " needs ",
        weight.size(1) * o.groups);
  check_same_dtype("conv3d", {x, weight, bias});
  if (is_half(x) && !convolves_halves(x)) return in_float32(MP_OP(conv3d), x, weight, bias, o);
  const std::int64_t kernel = weight.size(2);
  const Tensor whole = padded_depth(x, {o, kernel});
  const std::int64_t n = x.size(0), channels = x.size(1), height = x.size(3), width = x.size(4);
  const std::int64_t depth =
      kernel > 0 ? planes_of(whole.size(2), kernel, o.stride.depth, o.dilation.depth) : 0;
  check(depth > 0, "conv3d: a kernel of depth ", kernel, " with dilation ", o.dilation.depth,
        " does not fit an input of shape ", x.shape(), " with padding ", o.padding.depth,
        "; use a larger input or padding");
  const TensorOptions counting{.dtype = int64, .device = x.device()};
  const Tensor seen =
      (arange(depth, counting) * o.stride.depth).unsqueeze(1) + arange(kernel, counting) * o.dilation.depth;
  const Tensor images = index_select(whole, 2, seen.flatten())
                            .view({n, channels, depth, kernel, height, width})
                            .permute({0, 2, 1, 3, 4, 5})
                            .reshape({n * depth, channels * kernel, height, width});
  const Tensor filter =
      weight.reshape({weight.size(0), weight.size(1) * kernel, weight.size(3), weight.size(4)});
  Padding2 padding(o.padding.height, o.padding.width);
  padding.same = o.padding.same;
  const Tensor y = conv2d(images, filter, bias,
                          {.stride = {o.stride.height, o.stride.width},
                           .padding = padding,
                           .dilation = {o.dilation.height, o.dilation.width},
                           .groups = o.groups});
  return y.view({n, depth, y.size(1), y.size(2), y.size(3)}).permute({0, 2, 1, 3, 4}).contiguous();
} catch (const Error& error) {
  rethrow_as("conv3d", error);
}

Tensor conv_transpose3d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const ConvTranspose3dOptions& o) try {
  MP_AUTOCAST(conv_transpose3d, x, weight, bias, o);
  const char* const op = "conv_transpose3d";
  check_volumes(op, x);
  check_defined(op, weight);
  check(weight.dim() == 5 && weight.size(0) == x.size(1) && weight.size(2) > 0, op, ": weight has shape ",
        weight.shape(), " for an input of shape ", x.shape(),
        "; it must be (in, out / groups, kernel depth, height, width)");
  check(o.groups > 0 && x.size(1) % o.groups == 0, op, ": ", o.groups, " groups of ", x.size(1),
        " channels; they must divide them");
  check_same_dtype(op, {x, weight, bias});
  if (is_half(x)) return in_float32(MP_OP(conv_transpose3d), x, weight, bias, o);
  const std::int64_t out = weight.size(1) * o.groups, kernel = weight.size(2);
  check(!bias.defined() || bias.shape() == Shape{out}, op, ": bias has shape ",
        bias.defined() ? bias.shape() : Shape{}, "; it must be ", Shape{out});
  check(at_least(o.stride, 1) && at_least(o.dilation, 1) && at_least(o.padding, 0) &&
            at_least(o.output_padding, 0) &&
            o.output_padding.depth < std::max(o.stride.depth, o.dilation.depth),
        op, ": got stride ", text(o.stride), ", dilation ", text(o.dilation), ", padding ", text(o.padding),
        " and output_padding ", text(o.output_padding),
        "; the first two must be at least 1, the others 0, the last below the stride or the dilation");
  const std::int64_t n = x.size(0), depth = x.size(2);
  check(depth > 0, op, ": input of shape ", x.shape(), " has no planes");
  const std::int64_t new_depth = (depth - 1) * o.stride.depth - 2 * o.padding.depth +
                                 o.dilation.depth * (kernel - 1) + o.output_padding.depth + 1;
  check(new_depth > 0, op, ": a padding of ", o.padding.depth, " leaves no plane of an input of shape ",
        x.shape(), "; use a smaller one");
  // Each plane gives one for each plane of the kernel, side by side as channels; they are summed where they
  // lie.
  const Tensor images = x.permute({0, 2, 1, 3, 4}).flatten(0, 1);
  const Tensor planes = conv_transpose2d(images, weight.flatten(1, 2), {},
                                         {.stride = {o.stride.height, o.stride.width},
                                          .padding = {o.padding.height, o.padding.width},
                                          .output_padding = {o.output_padding.height, o.output_padding.width},
                                          .groups = o.groups,
                                          .dilation = {o.dilation.height, o.dilation.width}});
  const std::int64_t height = planes.size(2), width = planes.size(3);
  const Tensor windows = planes.view({n, depth, out * kernel, height * width})
                             .permute({0, 2, 1, 3})
                             .reshape({n, out * kernel, depth * height * width});
  const Tensor y =
      fold(
          windows, {new_depth, height * width}, {kernel, 1},
          {.dilation = {o.dilation.depth, 1}, .padding = {o.padding.depth, 0}, .stride = {o.stride.depth, 1}})
          .view({n, out, new_depth, height, width});
  return bias.defined() ? y + bias.view({out, 1, 1, 1}) : y;
} catch (const Error& error) {
  rethrow_as("conv_transpose3d", error);
}

// --- pools

namespace {

/// Pools of two dimensions, one after the other: of height and width, then of depth.
template <class Pool>
Tensor pooled(const Tensor& x, const Pool& pool, Size3 kernel, Size3 stride, Size3 padding) {
  if (is_half(x)) return in_float32(pooled<Pool>, x, pool, kernel, stride, padding);
  const std::int64_t n = x.size(0), channels = x.size(1), depth = x.size(2);
  const Tensor planes =
      pool(x.flatten(1, 2), {kernel.height, kernel.width},
           {.stride = Size2{stride.height, stride.width}, .padding = {padding.height, padding.width}});
  const std::int64_t height = planes.size(2), width = planes.size(3);
  const Tensor columns = pool(planes.view({n, channels, depth, height * width}), {kernel.depth, 1},
                              {.stride = Size2{stride.depth, 1}, .padding = {padding.depth, 0}});
  return columns.view({n, channels, columns.size(2), height, width});
}

template <class Pool>
Tensor checked_pool(const char* op, const Tensor& x, const Pool& pool, Size3 kernel,
                    const Pool3dOptions& options) try {
  check_volumes(op, x);
  const Size3 stride = options.stride.value_or(kernel), padding = options.padding;
  check(at_least(kernel, 1) && at_least(stride, 1), op, ": got kernel ", text(kernel), " and stride ",
        text(stride), "; both must be at least 1");
  check(at_least(padding, 0) && padding.depth <= kernel.depth / 2 && padding.height <= kernel.height / 2 &&
            padding.width <= kernel.width / 2,
        op, ": got padding ", text(padding), " for kernel ", text(kernel),
        "; it must be from 0 to half of the kernel");
  const auto fits = [](std::int64_t size, std::int64_t k, std::int64_t p) { return k - 2 * p <= size; };
  check(fits(x.size(2), kernel.depth, padding.depth) && fits(x.size(3), kernel.height, padding.height) &&
            fits(x.size(4), kernel.width, padding.width),
        op, ": kernel ", text(kernel), " does not fit an input of shape ", x.shape(), " with padding ",
        text(padding), "; use a larger input or padding, or a smaller kernel");
  return pooled(x, pool, kernel, stride, padding);
} catch (const Error& error) {
  rethrow_as(op, error);
}

}  // namespace

Tensor max_pool3d(const Tensor& x, Size3 kernel, const Pool3dOptions& options) {
  return checked_pool("max_pool3d", x, max_pool2d, kernel, options);
}

Tensor avg_pool3d(const Tensor& x, Size3 kernel, const Pool3dOptions& options) {
  return checked_pool("avg_pool3d", x, avg_pool2d, kernel, options);
}

Tensor adaptive_avg_pool3d(const Tensor& x, Size3 output) try {
  const char* const op = "adaptive_avg_pool3d";
  check_volumes(op, x);
  check(at_least(output, 1), op, ": got output ", text(output), "; it must be at least 1");
  check(x.size(2) > 0 && x.size(3) > 0 && x.size(4) > 0, op, ": input of shape ", x.shape(),
        " has nothing to average; depth, height and width must be at least 1");
  if (is_half(x)) return in_float32(MP_OP(adaptive_avg_pool3d), x, output);
  const std::int64_t n = x.size(0), channels = x.size(1), depth = x.size(2);
  const Tensor planes = adaptive_avg_pool2d(x.flatten(1, 2), {output.height, output.width});
  const std::int64_t area = output.height * output.width;
  return adaptive_avg_pool2d(planes.view({n, channels, depth, area}), {output.depth, area})
      .view({n, channels, output.depth, output.height, output.width});
} catch (const Error& error) {
  rethrow_as("adaptive_avg_pool3d", error);
}

}  // namespace miniparallel
