#include "engine/ops/autocast.h"
#include "engine/ops/elementwise.h"

// Activations that are more than a row of a list.

namespace miniparallel {

Tensor gelu(const Tensor& x, Gelu approximate) {
  return approximate == Gelu::erf ? gelu_erf(x) : gelu_tanh(x);
}

Tensor relu6(const Tensor& x) { return clamp_as("relu6", x, 0, 6); }

Tensor hardtanh(const Tensor& x, Scalar low, Scalar high) {
  check(!(low.as_double() > high.as_double()), "hardtanh: the bounds are ", low.as_double(), " and ",
        high.as_double(), "; the first must not be above the second");
  return clamp_as("hardtanh", x, low, high);
}

Tensor leaky_relu(const Tensor& x, double negative_slope) {
  check_floating("leaky_relu", x);
  return leaky_relu_by("leaky_relu", x, negative_slope);
}

Tensor elu(const Tensor& x, double alpha) {
  check_floating("elu", x);
  return elu_by("elu", x, alpha, 1);
}

Tensor selu(const Tensor& x) {
  check_floating("selu", x);
  return elu_by("selu", x, 1.6732632423543772, 1.0507009873554805);
}

Tensor celu(const Tensor& x, double alpha) {
  check_floating("celu", x);
  check(alpha != 0, "celu: alpha is 0; x / alpha needs another number");
  return celu_by("celu", x, alpha);
}

Tensor softplus(const Tensor& x, double beta, double threshold) {
  MP_AUTOCAST(softplus, x, beta, threshold);
  check_floating("softplus", x);
  check(beta != 0, "softplus: beta is 0; the result is divided by it");
  return softplus_by("softplus", x, beta, threshold);
}

Tensor prelu(const Tensor& x, const Tensor& weight) {
  MP_AUTOCAST(prelu, x, weight);
  check_floating("prelu", x);
  check_floating("prelu", weight);
  check_same_dtype("prelu", {x, weight});
  const std::int64_t channels = x.dim() > 1 ? x.size(1) : 1, n = weight.numel();
  check(weight.dim() <= 1 && (n == 1 || n == channels), "prelu: weight has shape ", weight.shape(),
        ", the input ", x.shape(), "; it must have one element, or one for each size of dimension 1");
  Shape shape = Shape::filled(x.dim(), 1);
  if (n != 1) shape[1] = channels;
  return prelu_broadcast(x, weight.reshape(shape));
}

Tensor glu(const Tensor& x, int dim) {
  check_floating("glu", x);
  if (is_half(x)) return in_float32(MP_OP(glu), x, dim);
  check(x.dim() > 0, "glu: a tensor without dimensions has no halves; unsqueeze it first");
  const int d = normalize_dim("glu", dim, x.dim());
  const std::int64_t half = x.size(d) / 2;
  check(x.size(d) % 2 == 0, "glu: dimension ", d, " of ", x.shape(), " has an odd size; it is cut in half");
  const std::vector<Tensor> halves = x.split(Shape{half, half}, d);
  return halves[0] * sigmoid(halves[1]);
}

}  // namespace miniparallel
