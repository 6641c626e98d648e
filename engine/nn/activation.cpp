#include <miniparallel/nn/activation.h>

#include "engine/nn/observer.h"

namespace miniparallel::nn {

Tensor ReLU::operator()(const Tensor& x) const { return observed(*this, relu(x)); }
Tensor GELU::operator()(const Tensor& x) const { return observed(*this, gelu(x, approximate)); }
Tensor SiLU::operator()(const Tensor& x) const { return observed(*this, silu(x)); }
Tensor Tanh::operator()(const Tensor& x) const { return observed(*this, tanh(x)); }
Tensor Sigmoid::operator()(const Tensor& x) const { return observed(*this, sigmoid(x)); }
Tensor Softmax::operator()(const Tensor& x) const { return observed(*this, softmax(x, dim)); }
Tensor LogSoftmax::operator()(const Tensor& x) const { return observed(*this, log_softmax(x, dim)); }
Tensor Flatten::operator()(const Tensor& x) const { return observed(*this, x.flatten(start_dim, end_dim)); }
Tensor Identity::operator()(const Tensor& x) const { return observed(*this, x); }

}  // namespace miniparallel::nn
