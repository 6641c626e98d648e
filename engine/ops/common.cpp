#include "engine/ops/common.h"

#include <algorithm>
#include <string_view>
#include <typeinfo>

namespace miniparallel {

Shape broadcast_strides(const Tensor& x, const Shape& shape) {
  Shape strides = Shape::filled(shape.rank(), 0);
  const int added = shape.rank() - x.dim();
  for (int d = 0; d < x.dim(); ++d)
    if (x.shape()[d] == shape[d + added]) strides[d + added] = x.strides()[d];
  return strides;
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  const int added = x.dim() - shape.rank();
  Shape dims;
  for (int d = 0; d < x.dim(); ++d)
    if (d < added || (shape[d - added] == 1 && x.shape()[d] != 1)) dims.push_back(d);
  return (dims.empty() ? x : sum(x, dims, true)).reshape(shape);
}

namespace {

/// bool 0, integers 1, floating 2.
int kind(DType dtype) { return dtype == boolean ? 0 : is_floating(dtype) ? 2 : 1; }

}  // namespace

DType result_type(const Tensor& a, const Tensor& b) {
  const bool a_decides = a.dim() > 0 || b.dim() == 0, b_decides = b.dim() > 0 || a.dim() == 0;
  if (a_decides && b_decides) return promote(a.dtype(), b.dtype());
  const DType first = a_decides ? a.dtype() : b.dtype(), second = a_decides ? b.dtype() : a.dtype();
  return kind(second) > kind(first) ? promote(first, second) : first;
}

DType result_type(const Tensor& a, Scalar b) {
  if (static_cast<int>(b.kind()) <= kind(a.dtype())) return a.dtype();
  return b.kind() == Scalar::Kind::floating ? default_dtype() : int64;
}

void check_defined(const char* op, const Tensor& tensor) {
  check(tensor.defined(), op, ": an argument is undefined; assign it first");
}

void check_same_device(const char* op, std::initializer_list<Tensor> tensors) {
  const Tensor* first = nullptr;
  for (const Tensor& tensor : tensors) {
    if (!tensor.defined()) continue;
    if (first == nullptr) first = &tensor;
    check(tensor.device() == first->device(), op, ": tensors are on ", first->device(), " and on ",
          tensor.device(), "; bring them together with to(device)");
  }
}

void check_same_dtype(const char* op, std::initializer_list<Tensor> tensors) {
  const Tensor* first = nullptr;
  for (const Tensor& tensor : tensors) {
    if (!tensor.defined()) continue;
    if (first == nullptr) first = &tensor;
    check(tensor.dtype() == first->dtype(), op, ": tensors are ", first->dtype(), " and ", tensor.dtype(),
          "; convert one with to(dtype)");
  }
}

void check_floating(const char* op, const Tensor& tensor) {
  check_defined(op, tensor);
  check(tensor.is_floating(), op, ": got ", tensor.dtype(), " of shape ", tensor.shape(),
        "; it computes in floating dtypes, convert with to(float32)");
}

void check_full_precision(const char* op, const Tensor& tensor) {
  check_floating(op, tensor);
  check(tensor.dtype() == float32 || tensor.dtype() == float64, op, ": ", tensor.dtype(),
        " is not supported; convert with to(float32)");
}

void rethrow_as(const char* op, const Error& error) {
  if (typeid(error) != typeid(Error)) throw;
  const std::string_view text = error.what();
  const std::size_t colon = text.find(':');
  const bool names_op = colon != text.npos && text.find(' ') == colon + 1;
  fail(op, ": ", names_op ? text.substr(colon + 2) : text);
}

Tensor to_floating(const Tensor& x) { return x.is_floating() ? x : x.to(default_dtype()); }

}  // namespace miniparallel
