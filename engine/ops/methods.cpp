#include <miniparallel/ops.h>

// The methods of Tensor that are functions of ops.h.

namespace miniparallel {

Tensor Tensor::neg() const { return miniparallel::neg(*this); }
Tensor Tensor::exp() const { return miniparallel::exp(*this); }
Tensor Tensor::log() const { return miniparallel::log(*this); }
Tensor Tensor::sqrt() const { return miniparallel::sqrt(*this); }
Tensor Tensor::abs() const { return miniparallel::abs(*this); }
Tensor Tensor::pow(Scalar exponent) const { return miniparallel::pow(*this, exponent); }
Tensor Tensor::tanh() const { return miniparallel::tanh(*this); }
Tensor Tensor::sigmoid() const { return miniparallel::sigmoid(*this); }
Tensor Tensor::relu() const { return miniparallel::relu(*this); }
Tensor Tensor::masked_fill(const Tensor& mask, Scalar value) const {
  return miniparallel::masked_fill(*this, mask, value);
}
Tensor Tensor::clamp(Scalar low, Scalar high) const { return miniparallel::clamp(*this, low, high); }

Tensor Tensor::sum() const { return miniparallel::sum(*this); }
Tensor Tensor::sum(const Shape& dims, bool keepdim) const { return miniparallel::sum(*this, dims, keepdim); }
Tensor Tensor::mean() const { return miniparallel::mean(*this); }
Tensor Tensor::mean(const Shape& dims, bool keepdim) const {
  return miniparallel::mean(*this, dims, keepdim);
}
Tensor Tensor::amax(const Shape& dims, bool keepdim) const {
  return miniparallel::amax(*this, dims, keepdim);
}
Tensor Tensor::amin(const Shape& dims, bool keepdim) const {
  return miniparallel::amin(*this, dims, keepdim);
}
Tensor Tensor::argmax() const { return miniparallel::argmax(*this); }
Tensor Tensor::argmax(int dim, bool keepdim) const { return miniparallel::argmax(*this, dim, keepdim); }
Tensor Tensor::matmul(const Tensor& other) const { return miniparallel::matmul(*this, other); }
Tensor Tensor::softmax(int dim) const { return miniparallel::softmax(*this, dim); }
Tensor Tensor::log_softmax(int dim) const { return miniparallel::log_softmax(*this, dim); }
Tensor Tensor::index_select(int dim, const Tensor& index) const {
  return miniparallel::index_select(*this, dim, index);
}

}  // namespace miniparallel
