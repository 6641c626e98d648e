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
MINIPARALLEL_BINARY_INTEGER(MP_BOTH)
MINIPARALLEL_COMPARE(MP_BOTH)

Tensor Tensor::add(Scalar other) const { return miniparallel::add(*this, other); }
Tensor Tensor::sub(Scalar other) const { return miniparallel::sub(*this, other); }
Tensor Tensor::mul(Scalar other) const { return miniparallel::mul(*this, other); }
Tensor Tensor::div(Scalar other) const { return miniparallel::div(*this, other); }
Tensor Tensor::pow(Scalar exponent) const { return miniparallel::pow(*this, exponent); }
Tensor Tensor::floor_divide(Scalar other) const { return miniparallel::floor_divide(*this, other); }
Tensor Tensor::remainder(Scalar other) const { return miniparallel::remainder(*this, other); }
Tensor Tensor::fmod(Scalar other) const { return miniparallel::fmod(*this, other); }
Tensor Tensor::prelu(const Tensor& weight) const { return miniparallel::prelu(*this, weight); }
Tensor Tensor::reciprocal() const { return miniparallel::reciprocal(*this); }
Tensor Tensor::isnan() const { return miniparallel::isnan(*this); }
Tensor Tensor::isinf() const { return miniparallel::isinf(*this); }
Tensor Tensor::isfinite() const { return miniparallel::isfinite(*this); }
Tensor Tensor::addcmul(const Tensor& a, const Tensor& b, Scalar value) const {
  return miniparallel::addcmul(*this, a, b, value);
}
Tensor Tensor::addcdiv(const Tensor& a, const Tensor& b, Scalar value) const {
  return miniparallel::addcdiv(*this, a, b, value);
}
Tensor Tensor::lerp(const Tensor& end, const Tensor& weight) const {
  return miniparallel::lerp(*this, end, weight);
}
Tensor Tensor::lerp(const Tensor& end, Scalar weight) const { return miniparallel::lerp(*this, end, weight); }
Tensor Tensor::gelu(Gelu approximate) const { return miniparallel::gelu(*this, approximate); }
Tensor Tensor::logical_and(const Tensor& other) const { return miniparallel::logical_and(*this, other); }
Tensor Tensor::logical_or(const Tensor& other) const { return miniparallel::logical_or(*this, other); }
Tensor Tensor::logical_xor(const Tensor& other) const { return miniparallel::logical_xor(*this, other); }
Tensor Tensor::logical_not() const { return miniparallel::logical_not(*this); }
Tensor Tensor::bitwise_not() const { return miniparallel::bitwise_not(*this); }
bool Tensor::equal(const Tensor& other) const { return miniparallel::equal(*this, other); }
Tensor Tensor::isclose(const Tensor& other, double rtol, double atol) const {
  return miniparallel::isclose(*this, other, rtol, atol);
}
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
Tensor Tensor::clamp(const Tensor& low, const Tensor& high) const {
  return miniparallel::clamp(*this, low, high);
}
Tensor Tensor::clamp_min(Scalar low) const { return miniparallel::clamp_min(*this, low); }
Tensor Tensor::clamp_max(Scalar high) const { return miniparallel::clamp_max(*this, high); }

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
Tensor Tensor::argmin() const { return miniparallel::argmin(*this); }
Tensor Tensor::argmin(int dim, bool keepdim) const { return miniparallel::argmin(*this, dim, keepdim); }
Tensor Tensor::max() const { return miniparallel::max(*this); }
ValuesAndIndices Tensor::max(int dim, bool keepdim) const { return miniparallel::max(*this, dim, keepdim); }
Tensor Tensor::min() const { return miniparallel::min(*this); }
ValuesAndIndices Tensor::min(int dim, bool keepdim) const { return miniparallel::min(*this, dim, keepdim); }
Tensor Tensor::any(const Shape& dims, bool keepdim) const { return miniparallel::any(*this, dims, keepdim); }
Tensor Tensor::all(const Shape& dims, bool keepdim) const { return miniparallel::all(*this, dims, keepdim); }
Tensor Tensor::logsumexp(const Shape& dims, bool keepdim) const {
  return miniparallel::logsumexp(*this, dims, keepdim);
}
Tensor Tensor::prod(const Shape& dims, bool keepdim) const {
  return miniparallel::prod(*this, dims, keepdim);
}
Tensor Tensor::count_nonzero(const Shape& dims) const { return miniparallel::count_nonzero(*this, dims); }
Tensor Tensor::norm(double p, const Shape& dims, bool keepdim) const {
  return miniparallel::norm(*this, p, dims, keepdim);
}
Tensor Tensor::cumsum(int dim) const { return miniparallel::cumsum(*this, dim); }
Tensor Tensor::cumprod(int dim) const { return miniparallel::cumprod(*this, dim); }
ValuesAndIndices Tensor::sort(int dim, bool descending) const {
  return miniparallel::sort(*this, dim, descending);
}
Tensor Tensor::argsort(int dim, bool descending) const {
  return miniparallel::argsort(*this, dim, descending);
}
ValuesAndIndices Tensor::topk(std::int64_t k, int dim, bool largest) const {
  return miniparallel::topk(*this, k, dim, largest);
}
Tensor Tensor::matmul(const Tensor& other) const { return miniparallel::matmul(*this, other); }
Tensor Tensor::mm(const Tensor& other) const { return miniparallel::mm(*this, other); }
Tensor Tensor::bmm(const Tensor& other) const { return miniparallel::bmm(*this, other); }
Tensor Tensor::dot(const Tensor& other) const { return miniparallel::dot(*this, other); }
Tensor Tensor::outer(const Tensor& other) const { return miniparallel::outer(*this, other); }
Tensor Tensor::mv(const Tensor& vector) const { return miniparallel::mv(*this, vector); }
Tensor Tensor::addmm(const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) const {
  return miniparallel::addmm(*this, a, b, beta, alpha);
}
Tensor Tensor::baddbmm(const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) const {
  return miniparallel::baddbmm(*this, a, b, beta, alpha);
}
Tensor Tensor::softmax(int dim) const { return miniparallel::softmax(*this, dim); }
Tensor Tensor::log_softmax(int dim) const { return miniparallel::log_softmax(*this, dim); }
Tensor Tensor::index_select(int dim, const Tensor& index) const {
  return miniparallel::index_select(*this, dim, index);
}
Tensor Tensor::gather(int dim, const Tensor& index) const { return miniparallel::gather(*this, dim, index); }
Tensor Tensor::scatter(int dim, const Tensor& index, const Tensor& source) const {
  return miniparallel::scatter(*this, dim, index, source);
}
Tensor Tensor::scatter(int dim, const Tensor& index, Scalar value) const {
  return miniparallel::scatter(*this, dim, index, value);
}
Tensor Tensor::scatter_add(int dim, const Tensor& index, const Tensor& source) const {
  return miniparallel::scatter_add(*this, dim, index, source);
}
Tensor Tensor::index_add(int dim, const Tensor& index, const Tensor& source, Scalar alpha) const {
  return miniparallel::index_add(*this, dim, index, source, alpha);
}
Tensor Tensor::take_along_dim(const Tensor& index, int dim) const {
  return miniparallel::take_along_dim(*this, index, dim);
}
Tensor Tensor::multinomial(std::int64_t num_samples, bool replacement) const {
  return miniparallel::multinomial(*this, num_samples, replacement);
}
Tensor Tensor::masked_select(const Tensor& mask) const { return miniparallel::masked_select(*this, mask); }
Tensor Tensor::nonzero() const { return miniparallel::nonzero(*this); }
Tensor Tensor::bincount(const Tensor& weights, std::int64_t minlength) const {
  return miniparallel::bincount(*this, weights, minlength);
}
Tensor Tensor::tril(std::int64_t diagonal) const { return miniparallel::tril(*this, diagonal); }
Tensor Tensor::triu(std::int64_t diagonal) const { return miniparallel::triu(*this, diagonal); }
Tensor Tensor::diag(std::int64_t diagonal) const { return miniparallel::diag(*this, diagonal); }
Tensor Tensor::tile(const Shape& repeats) const { return miniparallel::tile(*this, repeats); }
Tensor Tensor::repeat_interleave(std::int64_t repeats, std::optional<int> dim) const {
  return miniparallel::repeat_interleave(*this, repeats, dim);
}
Tensor Tensor::flip(const Shape& dims) const { return miniparallel::flip(*this, dims); }
Tensor Tensor::roll(const Shape& shifts, const Shape& dims) const {
  return miniparallel::roll(*this, shifts, dims);
}
Tensor Tensor::frac() const { return miniparallel::frac(*this); }
Tensor Tensor::logit(double eps) const { return miniparallel::logit(*this, eps); }
Tensor Tensor::sinc() const { return miniparallel::sinc(*this); }
Tensor Tensor::signbit() const { return miniparallel::signbit(*this); }
Tensor Tensor::nan_to_num(double nan, std::optional<double> posinf, std::optional<double> neginf) const {
  return miniparallel::nan_to_num(*this, nan, posinf, neginf);
}
Tensor Tensor::copysign(const Tensor& other) const { return miniparallel::copysign(*this, other); }
Tensor Tensor::fmax(const Tensor& other) const { return miniparallel::fmax(*this, other); }
Tensor Tensor::fmin(const Tensor& other) const { return miniparallel::fmin(*this, other); }
Tensor Tensor::nansum(const Shape& dims, bool keepdim) const {
  return miniparallel::nansum(*this, dims, keepdim);
}
Tensor Tensor::nanmean(const Shape& dims, bool keepdim) const {
  return miniparallel::nanmean(*this, dims, keepdim);
}
Tensor Tensor::median() const { return miniparallel::median(*this); }
ValuesAndIndices Tensor::median(int dim, bool keepdim) const {
  return miniparallel::median(*this, dim, keepdim);
}
ValuesAndIndices Tensor::kthvalue(std::int64_t k, int dim, bool keepdim) const {
  return miniparallel::kthvalue(*this, k, dim, keepdim);
}
Tensor Tensor::quantile(double q, std::optional<int> dim, bool keepdim) const {
  return miniparallel::quantile(*this, q, dim, keepdim);
}
Tensor Tensor::diff(std::int64_t n, int dim) const { return miniparallel::diff(*this, n, dim); }
Tensor Tensor::trace() const { return miniparallel::trace(*this); }
Tensor Tensor::inner(const Tensor& other) const { return miniparallel::inner(*this, other); }
Tensor Tensor::kron(const Tensor& other) const { return miniparallel::kron(*this, other); }
Tensor Tensor::cross(const Tensor& other, int dim) const { return miniparallel::cross(*this, other, dim); }
Tensor Tensor::asinh() const { return miniparallel::asinh(*this); }
Tensor Tensor::acosh() const { return miniparallel::acosh(*this); }
Tensor Tensor::atanh() const { return miniparallel::atanh(*this); }
Tensor Tensor::fliplr() const { return miniparallel::fliplr(*this); }
Tensor Tensor::flipud() const { return miniparallel::flipud(*this); }
Tensor Tensor::rot90(std::int64_t k, const Shape& dims) const { return miniparallel::rot90(*this, k, dims); }
Tensor Tensor::diag_embed(std::int64_t offset, int dim1, int dim2) const {
  return miniparallel::diag_embed(*this, offset, dim1, dim2);
}
Tensor Tensor::unfold(int dim, std::int64_t size, std::int64_t step) const {
  return miniparallel::unfold(*this, dim, size, step);
}
Tensor Tensor::index_fill(int dim, const Tensor& index, Scalar value) const {
  return miniparallel::index_fill(*this, dim, index, value);
}
Tensor Tensor::index_copy(int dim, const Tensor& index, const Tensor& source) const {
  return miniparallel::index_copy(*this, dim, index, source);
}
Tensor Tensor::masked_scatter(const Tensor& mask, const Tensor& source) const {
  return miniparallel::masked_scatter(*this, mask, source);
}
Tensor Tensor::take(const Tensor& index) const { return miniparallel::take(*this, index); }
Tensor Tensor::argwhere() const { return miniparallel::argwhere(*this); }

}  // namespace miniparallel
