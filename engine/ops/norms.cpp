#include "engine/ops/autocast.h"
#include "engine/ops/norm.h"

#include <limits>

// Normalisations made of other ops.

namespace miniparallel {

namespace {

Tensor grouped(const char* op, const Tensor& x, std::int64_t groups, const Tensor& weight, const Tensor& bias,
               double eps) {
  check_same_device(op, {x, weight, bias});
  check_parameter_dtype(op, x, {weight, bias});
  if (is_half(x)) return in_float32(grouped, op, x, groups, weight, bias, eps);
  const std::int64_t channels = x.size(1);
  Shape per_channel = Shape::filled(x.dim(), 1);
  per_channel[1] = channels;
  const auto of_channels = [&](const char* name, const Tensor& parameter) {
    check(parameter.shape() == Shape{channels}, op, ": ", name, " has shape ", parameter.shape(),
          "; it must be [", channels, "]");
    return parameter.view(per_channel);
  };
  const std::int64_t width = Shape(x.shape().begin() + 2, x.shape().end()).numel() * (channels / groups);
  Tensor y = layer_norm(x.reshape({x.size(0), groups, width}), {width}, {}, {}, eps).view(x.shape());
  if (weight.defined()) y = y * of_channels("weight", weight);
  if (bias.defined()) y = y + of_channels("bias", bias);
  return y;
}

}  // namespace

Tensor group_norm(const Tensor& x, std::int64_t groups, const Tensor& weight, const Tensor& bias,
                  double eps) {
  MP_AUTOCAST(group_norm, x, groups, weight, bias, eps);
  const char* const op = "group_norm";
  check_defined(op, x);
  check_floating(op, x);
  check(x.dim() >= 2, op, ": got shape ", x.shape(), "; it must be (n, channels, ...)");
  check(groups > 0 && x.size(1) % groups == 0, op, ": ", groups, " groups do not divide ", x.size(1),
        " channels; choose a divisor");
  check(eps > 0, op, ": eps is ", eps, "; it must be above 0");
  return grouped(op, x, groups, weight, bias, eps);
}

Tensor instance_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  const char* const op = "instance_norm";
  check_defined(op, x);
  check_floating(op, x);
  check(x.dim() >= 3 && x.size(1) > 0, op, ": got shape ", x.shape(),
        "; it must be (n, channels, ...), with at least ", "three dimensions");
  check(eps > 0, op, ": eps is ", eps, "; it must be above 0");
  return grouped(op, x, x.size(1), weight, bias, eps);
}

Tensor rms_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight,
                std::optional<double> eps) {
  const char* const op = "rms_norm";
  check_defined(op, x);
  check_floating(op, x);
  check_same_device(op, {x, weight});
  check_parameter_dtype(op, x, {weight});
  if (is_half(x)) return in_float32(MP_OP(rms_norm), x, normalized_shape, weight, eps);
  check(!eps || *eps > 0, op, ": eps is ", eps.value_or(0), "; it must be above 0");
  const int inner = normalized_shape.rank(), outer = x.dim() - inner;
  check(inner > 0 && outer >= 0 && Shape(x.shape().begin() + outer, x.shape().end()) == normalized_shape, op,
        ": input of shape ", x.shape(), " does not end in the normalised shape ", normalized_shape,
        "; make the layer for the shape of its input");
  if (weight.defined())
    check(weight.shape() == normalized_shape, op, ": weight has shape ", weight.shape(), "; it must be ",
          normalized_shape);
  Shape dims;
  for (int i = outer; i < x.dim(); ++i) dims.push_back(i);
  const double least = x.dtype() == float32 ? double{std::numeric_limits<float>::epsilon()}
                                            : std::numeric_limits<double>::epsilon();
  const Tensor y = x * (1 / sqrt(mean(square(x), dims, true) + eps.value_or(least)));
  return weight.defined() ? y * weight : y;
}

}  // namespace miniparallel
