#include <miniparallel/nn/conv.h>

#include <miniparallel/nn/init.h>

#include "engine/error.h"
#include "engine/nn/observer.h"

#include <cmath>

namespace miniparallel::nn {

namespace {

void check_sizes(const char* layer, std::int64_t in_channels, std::int64_t out_channels, Size2 kernel,
                 std::int64_t groups) {
  check(in_channels > 0 && out_channels > 0 && kernel.height > 0 && kernel.width > 0, layer, ": got ",
        in_channels, " channels in, ", out_channels, " out and a kernel of (", kernel.height, ", ",
        kernel.width, "); each must be at least 1");
  check(groups > 0 && in_channels % groups == 0 && out_channels % groups == 0, layer, ": ", groups,
        " groups do not divide ", in_channels, " channels in and ", out_channels,
        " out; choose a divisor of both");
}

void check_same(const char* layer, bool same, Size2 stride) {
  check(!same || stride == 1, layer, ": padding \"same\" goes with stride 1, not (", stride.height, ", ",
        stride.width, "); give the padding in numbers");
}

void start(Parameter& weight, Parameter& bias, const Shape& shape, std::int64_t out_channels,
           bool with_bias) {
  weight = Parameter(empty(shape));
  const double bound = 1 / std::sqrt(init::fans(weight).in);
  init::uniform_(weight, -bound, bound);
  if (with_bias) bias = Parameter(init::uniform_(empty({out_channels}), -bound, bound));
}

}  // namespace

Conv2d::Conv2d(std::int64_t in_channels, std::int64_t out_channels, Size2 kernel, const Conv2dOptions& chosen)
    : options(chosen) {
  check_sizes("Conv2d", in_channels, out_channels, kernel, options.groups);
  check_same("Conv2d", options.padding.same, options.stride);
  start(weight, bias, {out_channels, in_channels / options.groups, kernel.height, kernel.width}, out_channels,
        options.bias);
}

Tensor Conv2d::operator()(const Tensor& x) const {
  return observed(*this, conv2d(x, weight, bias,
                                {.stride = options.stride,
                                 .padding = options.padding,
                                 .dilation = options.dilation,
                                 .groups = options.groups}));
}

Conv1d::Conv1d(std::int64_t in_channels, std::int64_t out_channels, std::int64_t kernel,
               const Conv1dOptions& chosen)
    : options(chosen) {
  check_sizes("Conv1d", in_channels, out_channels, kernel, options.groups);
  check_same("Conv1d", options.padding.same, options.stride);
  start(weight, bias, {out_channels, in_channels / options.groups, kernel}, out_channels, options.bias);
}

Tensor Conv1d::operator()(const Tensor& x) const {
  return observed(*this, conv1d(x, weight, bias,
                                {.stride = options.stride,
                                 .padding = options.padding,
                                 .dilation = options.dilation,
                                 .groups = options.groups}));
}

Conv3d::Conv3d(std::int64_t in_channels, std::int64_t out_channels, Size3 kernel, const Conv3dOptions& chosen)
    : options(chosen) {
  check_sizes("Conv3d", in_channels, out_channels, {kernel.height, kernel.width}, options.groups);
  check(kernel.depth > 0, "Conv3d: got a kernel of depth ", kernel.depth, "; it must be at least 1");
  check(!options.padding.same || options.stride == Size3(1),
        "Conv3d: padding \"same\" goes with stride 1; give the padding in numbers");
  start(weight, bias, {out_channels, in_channels / options.groups, kernel.depth, kernel.height, kernel.width},
        out_channels, options.bias);
}

Tensor Conv3d::operator()(const Tensor& x) const {
  return observed(*this, conv3d(x, weight, bias,
                                {.stride = options.stride,
                                 .padding = options.padding,
                                 .dilation = options.dilation,
                                 .groups = options.groups}));
}

ConvTranspose1d::ConvTranspose1d(std::int64_t in_channels, std::int64_t out_channels, std::int64_t kernel,
                                 const ConvTranspose1dOptions& chosen)
    : options(chosen) {
  check_sizes("ConvTranspose1d", in_channels, out_channels, kernel, options.groups);
  start(weight, bias, {in_channels, out_channels / options.groups, kernel}, out_channels, options.bias);
}

Tensor ConvTranspose1d::operator()(const Tensor& x) const {
  return observed(*this, conv_transpose1d(x, weight, bias,
                                          {.stride = options.stride,
                                           .padding = options.padding,
                                           .output_padding = options.output_padding,
                                           .groups = options.groups,
                                           .dilation = options.dilation}));
}

ConvTranspose2d::ConvTranspose2d(std::int64_t in_channels, std::int64_t out_channels, Size2 kernel,
                                 const ConvTranspose2dOptions& chosen)
    : options(chosen) {
  check_sizes("ConvTranspose2d", in_channels, out_channels, kernel, options.groups);
  start(weight, bias, {in_channels, out_channels / options.groups, kernel.height, kernel.width}, out_channels,
        options.bias);
}

Tensor ConvTranspose2d::operator()(const Tensor& x) const {
  return observed(*this, conv_transpose2d(x, weight, bias,
                                          {.stride = options.stride,
                                           .padding = options.padding,
                                           .output_padding = options.output_padding,
                                           .groups = options.groups,
                                           .dilation = options.dilation}));
}

ConvTranspose3d::ConvTranspose3d(std::int64_t in_channels, std::int64_t out_channels, Size3 kernel,
                                 const ConvTranspose3dOptions& chosen)
    : options(chosen) {
  check_sizes("ConvTranspose3d", in_channels, out_channels, {kernel.height, kernel.width}, options.groups);
  check(kernel.depth > 0, "ConvTranspose3d: got a kernel of depth ", kernel.depth, "; it must be at least 1");
  start(weight, bias, {in_channels, out_channels / options.groups, kernel.depth, kernel.height, kernel.width},
        out_channels, options.bias);
}

Tensor ConvTranspose3d::operator()(const Tensor& x) const {
  return observed(*this, conv_transpose3d(x, weight, bias,
                                          {.stride = options.stride,
                                           .padding = options.padding,
                                           .output_padding = options.output_padding,
                                           .groups = options.groups,
                                           .dilation = options.dilation}));
}

}  // namespace miniparallel::nn
