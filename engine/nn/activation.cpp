#include <miniparallel/nn/activation.h>

#include "engine/error.h"
#include "engine/nn/observer.h"

namespace miniparallel::nn {

Tensor ReLU::operator()(const Tensor& x) const { return observed(*this, relu(x)); }
Tensor GELU::operator()(const Tensor& x) const { return observed(*this, gelu(x, approximate)); }
Tensor SiLU::operator()(const Tensor& x) const { return observed(*this, silu(x)); }
Tensor Tanh::operator()(const Tensor& x) const { return observed(*this, tanh(x)); }
Tensor Sigmoid::operator()(const Tensor& x) const { return observed(*this, sigmoid(x)); }
Tensor ReLU6::operator()(const Tensor& x) const { return observed(*this, relu6(x)); }
Tensor LeakyReLU::operator()(const Tensor& x) const { return observed(*this, leaky_relu(x, negative_slope)); }
Tensor ELU::operator()(const Tensor& x) const { return observed(*this, elu(x, alpha)); }
Tensor SELU::operator()(const Tensor& x) const { return observed(*this, selu(x)); }
Tensor CELU::operator()(const Tensor& x) const { return observed(*this, celu(x, alpha)); }
Tensor Softplus::operator()(const Tensor& x) const { return observed(*this, softplus(x, beta, threshold)); }
Tensor Mish::operator()(const Tensor& x) const { return observed(*this, mish(x)); }
Tensor Softsign::operator()(const Tensor& x) const { return observed(*this, softsign(x)); }
Tensor LogSigmoid::operator()(const Tensor& x) const { return observed(*this, logsigmoid(x)); }
Tensor Hardsigmoid::operator()(const Tensor& x) const { return observed(*this, hardsigmoid(x)); }
Tensor Hardswish::operator()(const Tensor& x) const { return observed(*this, hardswish(x)); }
Tensor Hardtanh::operator()(const Tensor& x) const { return observed(*this, hardtanh(x, min_val, max_val)); }
Tensor Hardshrink::operator()(const Tensor& x) const { return observed(*this, hardshrink(x, lambda)); }
Tensor Softshrink::operator()(const Tensor& x) const { return observed(*this, softshrink(x, lambda)); }
Tensor Tanhshrink::operator()(const Tensor& x) const { return observed(*this, tanhshrink(x)); }
Tensor Threshold::operator()(const Tensor& x) const { return observed(*this, threshold(x, limit, value)); }
Tensor RReLU::operator()(const Tensor& x) const { return observed(*this, rrelu(x, lower, upper, training)); }
Tensor GLU::operator()(const Tensor& x) const { return observed(*this, glu(x, dim)); }
Tensor Softmin::operator()(const Tensor& x) const { return observed(*this, softmin(x, dim)); }
Tensor Softmax::operator()(const Tensor& x) const { return observed(*this, softmax(x, dim)); }
Tensor LogSoftmax::operator()(const Tensor& x) const { return observed(*this, log_softmax(x, dim)); }

PReLU::PReLU(std::int64_t num_parameters, double init) {
  check(num_parameters > 0, "PReLU: got ", num_parameters, " parameters; it needs at least one");
  weight = Parameter(full({num_parameters}, init));
}
Tensor PReLU::operator()(const Tensor& x) const { return observed(*this, prelu(x, weight)); }

Tensor Flatten::operator()(const Tensor& x) const { return observed(*this, x.flatten(start_dim, end_dim)); }
Tensor Identity::operator()(const Tensor& x) const { return observed(*this, x); }

}  // namespace miniparallel::nn
