#include "engine/ops/autocast.h"
#include "engine/ops/common.h"

// Sequences as images of one row.

namespace miniparallel {
namespace {

void check_sequences(const char* op, const Tensor& x) {
  check_defined(op, x);
  check_floating(op, x);
  check(x.dim() == 3, op, ": input has shape ", x.shape(), "; it must be (n, channels, length)",
        x.dim() == 2 ? ", for one sequence unsqueeze(0)" : "");
}

template <class Pool>
Tensor pooled(const char* op, Pool pool, const Tensor& x, std::int64_t kernel, const Pool1dOptions& options) {
  check_sequences(op, x);
  const std::int64_t stride = options.stride.value_or(kernel), padding = options.padding;
  check(kernel > 0 && stride > 0, op, ": got kernel ", kernel, " and stride ", stride,
        "; both must be at least 1");
  check(padding >= 0 && padding <= kernel / 2, op, ": got padding ", padding, " for kernel ", kernel,
        "; it must be from 0 to half of the kernel");
  check(kernel - 2 * padding <= x.size(2), op, ": kernel ", kernel, " does not fit an input of shape ",
        x.shape(), " with padding ", padding, "; use a larger input or padding, or a smaller kernel");
  return pool(x.unsqueeze(2), {1, kernel}, {.stride = Size2{1, stride}, .padding = {0, padding}}).squeeze(2);
}

}  // namespace

Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv1dOptions& o) try {
  MP_AUTOCAST(conv1d, x, weight, bias, o);
  const char* const op = "conv1d";
  check_sequences(op, x);
  check_defined(op, weight);
  check(weight.dim() == 3, op, ": weight has shape ", weight.shape(),
        "; it must be (out, in / groups, kernel)");
  check(o.groups > 0 && weight.size(0) % o.groups == 0 && x.size(1) == weight.size(1) * o.groups, op,
        ": input of shape ", x.shape(), " and weight of shape ", weight.shape(), " do not fit with groups ",
        o.groups, "; the input has in channels, the weight is (out, in / groups, kernel)");
  Padding2 padding(0, o.padding.size);
  padding.same = o.padding.same;
  return conv2d(
             x.unsqueeze(2), weight.unsqueeze(2), bias,
             {.stride = {1, o.stride}, .padding = padding, .dilation = {1, o.dilation}, .groups = o.groups})
      .squeeze(2);
} catch (const Error& error) {
  rethrow_as("conv1d", error);
}

Tensor conv_transpose1d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const ConvTranspose1dOptions& o) try {
  MP_AUTOCAST(conv_transpose1d, x, weight, bias, o);
  const char* const op = "conv_transpose1d";
  check_sequences(op, x);
  check_defined(op, weight);
  check(weight.dim() == 3 && weight.size(0) == x.size(1), op, ": weight has shape ", weight.shape(),
        " for an input of shape ", x.shape(), "; it must be (in, out / groups, kernel)");
  return conv_transpose2d(x.unsqueeze(2), weight.unsqueeze(2), bias,
                          {.stride = {1, o.stride},
                           .padding = {0, o.padding},
                           .output_padding = {0, o.output_padding},
                           .groups = o.groups,
                           .dilation = {1, o.dilation}})
      .squeeze(2);
} catch (const Error& error) {
  rethrow_as("conv_transpose1d", error);
}

Tensor max_pool1d(const Tensor& x, std::int64_t kernel, const Pool1dOptions& options) {
  return pooled("max_pool1d", max_pool2d, x, kernel, options);
}

Tensor avg_pool1d(const Tensor& x, std::int64_t kernel, const Pool1dOptions& options) {
  return pooled("avg_pool1d", avg_pool2d, x, kernel, options);
}

Tensor adaptive_avg_pool1d(const Tensor& x, std::int64_t output) {
  check_sequences("adaptive_avg_pool1d", x);
  check(output > 0, "adaptive_avg_pool1d: got output ", output, "; it must be at least 1");
  check(x.size(2) > 0, "adaptive_avg_pool1d: got shape ", x.shape(), "; there must be something to average");
  return adaptive_avg_pool2d(x.unsqueeze(2), {1, output}).squeeze(2);
}

}  // namespace miniparallel
