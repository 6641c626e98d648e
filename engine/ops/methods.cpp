#include <miniparallel/ops.h>

// The methods of Tensor that are functions of ops.h.

namespace miniparallel {

#define MP_UNARY(name, functor) \
  Tensor Tensor::name() const { return miniparallel::name(*this); }
#define MP_BINARY(name, functor) \
  Tensor Tensor::name(const Tensor& other) const { return miniparallel::name(*this, other); }
#define MP_BOTH(name, op) \
  MP_BINARY(name, op)     \
  Tensor Tensor::name(Scalar other) const { return miniparallel::name(*this, other); }
MINIPARALLEL_UNARY_ARITHMETIC(MP_UNARY)
MINIPARALLEL_UNARY_FLOATING(MP_UNARY)
MINIPARALLEL_BINARY_ARITHMETIC(MP_BINARY)
MINIPARALLEL_BINARY_FLOATING(MP_BINARY)
MINIPARALLEL_COMPARE(MP_BOTH)

Tensor Tensor::add(Scalar other) const { return miniparallel::add(*this, other); }
Tensor Tensor::sub(Scalar other) const { return miniparallel::sub(*this, other); }
Tensor Tensor::mul(Scalar other) const { return miniparallel::mul(*this, other); }
Tensor Tensor::div(Scalar other) const { return miniparallel::div(*this, other); }
Tensor Tensor::pow(Scalar exponent) const { return miniparallel::pow(*this, exponent); }
Tensor Tensor::gelu(Gelu approximate) const { return miniparallel::gelu(*this, approximate); }
Tensor Tensor::logical_and(const Tensor& other) const { return miniparallel::logical_and(*this, other); }
Tensor Tensor::logical_or(const Tensor& other) const { return miniparallel::logical_or(*this, other); }
Tensor Tensor::logical_not() const { return miniparallel::logical_not(*this); }
bool Tensor::equal(const Tensor& other) const { return miniparallel::equal(*this, other); }
bool Tensor::allclose(const Tensor& other, double rtol, double atol) const {
  return miniparallel::allclose(*this, other, rtol, atol);
}
Tensor Tensor::where(const Tensor& condition, const Tensor& other) const {
  return miniparallel::where(condition, *this, other);
}
Tensor Tensor::where(const Tensor& condition, Scalar other) const {
  return miniparallel::where(condition, *this, other);
}
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
Tensor Tensor::var(const Shape& dims, bool unbiased, bool keepdim) const {
  return miniparallel::var(*this, dims, unbiased, keepdim);
}
Tensor Tensor::std(const Shape& dims, bool unbiased, bool keepdim) const {
  return miniparallel::std(*this, dims, unbiased, keepdim);
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
