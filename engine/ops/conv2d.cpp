#include "engine/ops/conv2d.h"

#include <miniparallel/cuda.h>

#include "engine/autograd/trace.h"
#include "engine/device/architecture.h"
#include "engine/ops/autocast.h"
#include "engine/ops/common.h"

#include <algorithm>

// Three ops make a closed set: each is linear in both of its arguments, and the derivatives of each are the
// other two. So conv2d can be differentiated any number of times.
//
//   conv2d(x, w) -> y      data_gradient(g, w) -> dx      weight_gradient(g, x) -> dw

namespace miniparallel {
namespace {

using kernels::Conv2dGeometry;
using kernels::Destination;

std::string text(Size2 size) {
  return size.height == size.width ? message(size.height) : message(size.height, " x ", size.width);
}

void check_options(const Conv2dOptions& o) {
  const auto positive = [](Size2 size) { return size.height > 0 && size.width > 0; };
  check(positive(o.stride), "conv2d: got stride ", text(o.stride), "; it must be at least 1");
  check(positive(o.dilation), "conv2d: got dilation ", text(o.dilation), "; it must be at least 1");
  check(o.padding.height >= 0 && o.padding.width >= 0, "conv2d: got padding ", text(o.padding),
        "; it must not be negative");
  check(o.groups > 0, "conv2d: got groups ", o.groups, "; there must be at least 1");
}

void check_arguments(const Tensor& x, const Tensor& weight, const Tensor& bias,
                     const Conv2dOptions& options) {
  check_defined("conv2d", x);
  check_defined("conv2d", weight);
  check_same_device("conv2d", {x, weight, bias});
  check_floating("conv2d", x);
  check_same_dtype("conv2d", {x, weight, bias});
  check_options(options);
  check(x.dim() == 4, "conv2d: input has shape ", x.shape(), "; it must be (n, channels, height, width)",
        x.dim() == 3 ? ", for one image unsqueeze(0)" : "");
  check(weight.dim() == 4, "conv2d: weight has shape ", weight.shape(),
        "; it must be (out, in / groups, kernel height, kernel width)");
  check(weight.size(0) % options.groups == 0, "conv2d: ", weight.size(0),
        " output channels (weight of shape ", weight.shape(), ") do not divide into ", options.groups,
        " groups; choose a divisor");
  check(x.size(1) == weight.size(1) * options.groups, "conv2d: input of shape ", x.shape(), " has ",
        x.size(1), " channels; weight of shape ", weight.shape(), " with groups ", options.groups, " needs ",
        weight.size(1) * options.groups);
  check(!bias.defined() || bias.shape() == Shape{weight.size(0)}, "conv2d: bias has shape ",
        bias.defined() ? bias.shape() : Shape{}, "; it must be [", weight.size(0), "]");
}

std::int64_t output_size(std::int64_t size, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
                         std::int64_t dilation) {
  std::int64_t padded = 0, reach = 0, room = 0;
  const bool overflow =
      __builtin_mul_overflow(padding, 2, &padded) || __builtin_add_overflow(padded, size, &padded) ||
      __builtin_mul_overflow(dilation, kernel - 1, &reach) || __builtin_sub_overflow(padded, reach, &room);
  check(!overflow, "conv2d: a size of ", size, " with padding ", padding, ", or a kernel of ", kernel,
        " with dilation ", dilation, ", does not fit 63 bits; choose smaller ones");
  return room < 1 ? 0 : (room - 1) / stride + 1;
}

Conv2dGeometry geometry_of(const Shape& x, const Shape& weight, const Conv2dOptions& o) {
  return {.n = x[0],
          .in_channels = x[1],
          .in_h = x[2],
          .in_w = x[3],
          .out_channels = weight[0],
          .out_h = output_size(x[2], weight[2], o.stride.height, o.padding.height, o.dilation.height),
          .out_w = output_size(x[3], weight[3], o.stride.width, o.padding.width, o.dilation.width),
          .kernel_h = weight[2],
          .kernel_w = weight[3],
          .stride_h = o.stride.height,
          .stride_w = o.stride.width,
          .padding_h = o.padding.height,
          .padding_w = o.padding.width,
          .dilation_h = o.dilation.height,
          .dilation_w = o.dilation.width,
          .groups = o.groups};
}

/// Whether tensor cores multiply convolutions of x's dtype.
bool takes_tensor_cores(const Tensor& x) {
  if (!x.device().is_cuda()) return false;
  if (is_half(x)) return convolves_halves(x);
  return x.dtype() == float32 && allow_tf32() && code_architecture(x.device().index) >= 80;
}

/// Whether few of these channels are in a group, so that sums whose results they are are made directly.
bool has_few_channels(const Conv2dGeometry& g, std::int64_t channels) {
  return channels / g.groups <= kernels::kFewFilters;
}

/// What conv2d did: its sizes and options, for the ops of its backward.
struct Conv {
  Shape x, weight;
  Conv2dOptions options;

  Conv2dGeometry geometry() const { return geometry_of(x, weight, options); }
  /// With the layouts that the kernels take best, which depends on the device of `of`, its dtype, and whether
  /// TF32 is allowed now: channels innermost where those of a group make whole packs of 16 bytes. Where
  /// groups have few channels, so that no tensor core multiplies them, all together make packs, for the sake
  /// of the convolutions before and after.
  Conv2dGeometry geometry_for(const Tensor& of) const {
    Conv2dGeometry g = geometry();
    const std::int64_t pack = 16 / static_cast<std::int64_t>(of.element_size());
    const bool few = has_few_channels(g, g.in_channels) && has_few_channels(g, g.out_channels);
    const auto packs = [&](std::int64_t channels) {
      if (few) return channels % pack == 0;
      return !has_few_channels(g, channels) && channels / g.groups % pack == 0;
    };
    const bool is_sequence = g.in_h == 1;  // of conv1d, whose neighbours know no such layout
    g.y_channels_last =
        takes_tensor_cores(of) && packs(g.out_channels) && !is_sequence && (!few || packs(g.in_channels));
    g.x_channels_last = g.y_channels_last && packs(g.in_channels);
    return g;
  }
};

Tensor laid_out_in_graph(bool channels_last, const Tensor& x) {
  return channels_last ? in_channels_last(x) : x.contiguous();
}

/// The weight as the kernels read it, if packed: with the channels innermost that each sum runs over, or with
/// few results of a group these.
Tensor packed(const Tensor& weight, const Shape& shape, const Shape& strides) {
  const NoGradGuard no_grad;
  return make_alias(weight, shape, strides, weight.impl()->offset).contiguous();
}
Tensor packed_for_forward(Conv2dGeometry& g, const Tensor& weight) {
  g.packs_weight = g.x_channels_last;
  if (!g.packs_weight) return weight;
  const std::int64_t channels = g.in_channels / g.groups, taps = g.kernel_h * g.kernel_w,
                     filter = channels * taps;
  if (has_few_channels(g, g.out_channels))
    return packed(weight, {channels, g.kernel_h, g.kernel_w, g.out_channels}, {taps, g.kernel_w, 1, filter});
  return packed(weight, {g.out_channels, g.kernel_h, g.kernel_w, channels}, {filter, g.kernel_w, 1, taps});
}
Tensor packed_for_data_gradient(Conv2dGeometry& g, const Tensor& weight) {
  g.packs_weight = g.y_channels_last;
  if (!g.packs_weight) return weight;
  const std::int64_t channels = g.in_channels / g.groups, filters = g.out_channels / g.groups,
                     taps = g.kernel_h * g.kernel_w, filter = channels * taps, group = filters * filter;
  if (has_few_channels(g, g.in_channels))
    return packed(weight, {filters, g.kernel_h, g.kernel_w, g.groups, channels},
                  {filter, g.kernel_w, 1, group, taps});
  return packed(weight, {g.groups, channels, g.kernel_h, g.kernel_w, filters},
                {group, taps, g.kernel_w, 1, filter});
}

/// Keeps `tensor`, which only the gradient of `other` reads.
autograd::Saved save_for(const Tensor& other, const Tensor& tensor) {
  return save(other.requires_grad() ? tensor : Tensor{});
}

Tensor weight_gradient(const Tensor& g, const Tensor& x, const Conv& conv);

/// The geometry of the gradient of the data. Where that is summed directly, both sides lie alike.
Conv2dGeometry data_gradient_geometry(const Conv& conv, const Tensor& g) {
  Conv2dGeometry geometry = conv.geometry_for(g);
  if (has_few_channels(geometry, geometry.in_channels)) geometry.y_channels_last = geometry.x_channels_last;
  return geometry;
}

void write_data_gradient(const Tensor& g, const Tensor& weight, Conv2dGeometry geometry,
                         const Destination& dx) {
  const Tensor packed = packed_for_data_gradient(geometry, weight);
  backend(g).conv2d.data_gradient(g.dtype(), geometry, raw(g), raw(packed), dx, stream(g));
}

/// The gradient of conv2d's input, plus the bias of each channel.
Tensor data_gradient(const Tensor& gradient, const Tensor& w, const Conv& conv, const Tensor& bias = {}) {
  const Conv2dGeometry geometry = data_gradient_geometry(conv, gradient);
  const Tensor g = laid_out_in_graph(geometry.y_channels_last, gradient), weight = w.contiguous();
  Tensor dx = make_laid_out(geometry.x_channels_last, conv.x, g.dtype(), g.device());
  if (bias.defined()) dx.copy_(bias.detach().view({1, conv.x[1], 1, 1}));
  write_data_gradient(g, weight, geometry, {raw(dx), bias.defined() ? 1 : 0});
  if (recording(g, weight, bias))
    record("conv2d_data_gradient", dx, {g, weight, bias},
           [g = save_for(weight, g), weight = save_for(g, weight), conv](Backward& b) {
             if (b.needs(0)) b.set(0, conv2d(b.grad(), weight.get(b), {}, conv.options));
             if (b.needs(1)) b.set(1, weight_gradient(g.get(b), b.grad(), conv));
             if (b.needs(2)) b.set(2, sum(b.grad(), {0, 2, 3}));
           });
  return dx;
}

Tensor weight_gradient(const Tensor& gradient, const Tensor& input, const Conv& conv) {
  const Conv2dGeometry geometry = conv.geometry_for(gradient);
  const Tensor g = laid_out_in_graph(geometry.y_channels_last, gradient),
               x = laid_out_in_graph(geometry.x_channels_last, input);
  Tensor dw = make_tensor(conv.weight, g.dtype(), g.device());
  backend(g).conv2d.weight_gradient(g.dtype(), geometry, raw(g), raw(x), {raw(dw)}, {}, stream(g));
  if (recording(g, x))
    record("conv2d_weight_gradient", dw, {g, x}, [g = save_for(x, g), x = save_for(g, x), conv](Backward& b) {
      if (b.needs(0)) b.set(0, conv2d(x.get(b), b.grad(), {}, conv.options));
      if (b.needs(1)) b.set(1, data_gradient(g.get(b), b.grad(), conv));
    });
  return dw;
}

/// Weight and, where it is asked for, bias in one pass over g, each into the gradient that is already there.
void write_parameter_gradients(Backward& b, const Tensor& gradient, const Tensor& input, const Conv& conv) {
  const Conv2dGeometry geometry = conv.geometry_for(gradient);
  const Tensor g = laid_out(geometry.y_channels_last, gradient),
               x = laid_out(geometry.x_channels_last, input);
  const auto run = [&](const Destination& dweight, const Destination& dbias) {
    backend(g).conv2d.weight_gradient(g.dtype(), geometry, raw(g), raw(x), dweight, dbias, stream(g));
  };
  b.write(1, conv.weight, g.dtype(), g.device(), [&](const Tensor& dweight, int beta) {
    if (!b.needs(2)) return run({raw(dweight), beta}, {});
    b.write(2, {conv.weight[0]}, g.dtype(), g.device(), [&](const Tensor& dbias, int beta_of_bias) {
      run({raw(dweight), beta}, {raw(dbias), beta_of_bias});
    });
  });
}

void conv2d_backward(Backward& b, const Tensor& x, const Tensor& weight, const Conv& conv) {
  if (b.create_graph()) {
    if (b.needs(0)) b.set(0, data_gradient(b.grad(), weight, conv));
    if (b.needs(1)) b.set(1, weight_gradient(b.grad(), x, conv));
    if (b.needs(2)) b.set(2, sum(b.grad(), {0, 2, 3}));
    return;
  }
  if (b.needs(1))
    write_parameter_gradients(b, b.grad(), x, conv);
  else if (b.needs(2))  // x was not saved
    b.set(2, sum(b.grad(), {0, 2, 3}));
  if (!b.needs(0)) return;
  const Conv2dGeometry geometry = data_gradient_geometry(conv, b.grad());
  const Tensor g = laid_out(geometry.y_channels_last, b.grad());
  b.write(
      0, conv.x, g.dtype(), g.device(),
      [&](const Tensor& dx, int beta) { write_data_gradient(g, weight, geometry, {raw(dx), beta}); },
      geometry.x_channels_last);
}

/// What the elements of a kernel span, less one: the zeros that keep the size.
std::int64_t reach(std::int64_t kernel, std::int64_t dilation) {
  std::int64_t product = 0;
  check(!__builtin_mul_overflow(dilation, std::max<std::int64_t>(kernel - 1, 0), &product),
        "conv2d: a kernel of ", kernel, " with dilation ", dilation,
        " does not fit 63 bits; choose smaller ones");
  return product;
}

/// With padding "same". A zero that only the last side has is added before.
Tensor conv2d_same(const Tensor& x, const Tensor& weight, const Tensor& bias, Conv2dOptions options) {
  check(options.stride == 1, "conv2d: padding \"same\" goes with stride 1, not ", text(options.stride),
        "; give the padding in numbers");
  const Size2 zeros(reach(weight.size(2), options.dilation.height),
                    reach(weight.size(3), options.dilation.width));
  options.padding = {zeros.height / 2, zeros.width / 2};
  const std::int64_t below = zeros.height % 2, right = zeros.width % 2;
  return conv2d(below + right == 0 ? x : pad(x, {0, right, 0, below}), weight, bias, options);
}

}  // namespace

PaddingName::PaddingName(std::string_view name) : same(name == "same") {
  check(same || name == "valid", "padding: got \"", name, "\"; it is \"same\", \"valid\" or numbers");
}

bool convolves_halves(const Tensor& x) {
  return x.device().is_cuda() && (x.dtype() == float16 || code_architecture(x.device().index) >= 80);
}

Tensor conv2d_data_gradient(const Tensor& g, const Tensor& weight, const Tensor& bias, const Shape& x,
                            const Conv2dOptions& options) {
  return data_gradient(g, weight, {x, weight.shape(), options}, bias);
}

Tensor conv2d(const Tensor& input, const Tensor& filter, const Tensor& bias_or_none,
              const Conv2dOptions& options) {
  MP_AUTOCAST(conv2d, input, filter, bias_or_none, options);
  check_arguments(input, filter, bias_or_none, options);
  if (is_half(input) && !convolves_halves(input))
    return in_float32(MP_OP(conv2d), input, filter, bias_or_none, options);
  if (options.padding.same) return conv2d_same(input, filter, bias_or_none, options);
  const Conv conv{input.shape(), filter.shape(), options};
  Conv2dGeometry geometry = conv.geometry_for(input);
  check(geometry.out_h > 0 && geometry.out_w > 0 && geometry.kernel_h > 0 && geometry.kernel_w > 0,
        "conv2d: a kernel of ", geometry.kernel_h, " x ", geometry.kernel_w, " with dilation ",
        text(options.dilation), " does not fit an input of shape ", input.shape(), " with padding ",
        text(options.padding), "; use a larger input or padding, or a smaller kernel");
  const Tensor x = laid_out_in_graph(geometry.x_channels_last, input), weight = filter.contiguous();
  const Tensor bias = bias_or_none.defined() ? bias_or_none.contiguous() : Tensor{};
  Tensor y = make_laid_out(geometry.y_channels_last,
                           {geometry.n, geometry.out_channels, geometry.out_h, geometry.out_w}, x.dtype(),
                           x.device());
  const Tensor packed = packed_for_forward(geometry, weight);
  backend(x).conv2d.forward(x.dtype(), geometry, raw(x), raw(packed), bias.defined() ? raw(bias) : nullptr,
                            raw(y), stream(x));
  if (recording(x, weight, bias)) {
    autograd::note("geometry",
                   std::array{geometry.stride_h, geometry.stride_w, geometry.padding_h, geometry.padding_w,
                              geometry.dilation_h, geometry.dilation_w, geometry.groups});
    record("conv2d", y, {x, weight, bias},
           [x = save_for(weight, x), weight = save_for(x, weight), conv](Backward& b) {
             conv2d_backward(b, x.get(b), weight.get(b), conv);
           });
  }
  return y;
}

}  // namespace miniparallel
