#include <cmath>
#include <vector>

#include "engine/ops/common.h"

namespace miniparallel {
namespace {

Tensor finish(Tensor made, const TensorOptions& options) {
  return options.requires_grad ? made.requires_grad_() : made;
}

TensorOptions with_dtype(const TensorOptions& options, DType dtype) {
  return {.dtype = options.dtype.value_or(dtype),
          .device = options.device,
          .requires_grad = options.requires_grad};
}

TensorOptions options_of(const Tensor& other) { return {.dtype = other.dtype(), .device = other.device()}; }

}  // namespace

Tensor empty(const Shape& shape, const TensorOptions& options) {
  return finish(make_tensor(shape, options.dtype.value_or(default_dtype()), options.device), options);
}
Tensor zeros(const Shape& shape, const TensorOptions& options) {
  return full(shape, 0, with_dtype(options, default_dtype()));
}
Tensor ones(const Shape& shape, const TensorOptions& options) {
  return full(shape, 1, with_dtype(options, default_dtype()));
}
Tensor scalar_tensor(Scalar value, const TensorOptions& options) { return full({}, value, options); }

Tensor arange(Scalar start, Scalar stop, Scalar step, const TensorOptions& options) {
  using Kind = Scalar::Kind;
  check(step.as_double() != 0, "arange: the step is 0");
  const bool floating =
      start.kind() == Kind::floating || stop.kind() == Kind::floating || step.kind() == Kind::floating;
  const double steps = std::ceil((stop.as_double() - start.as_double()) / step.as_double());
  check(std::isfinite(steps) && steps < 9e18, "arange: from ", start.as_double(), " to ", stop.as_double(),
        " in steps of ", step.as_double(), " never ends");
  const std::size_t n = steps > 0 ? static_cast<std::size_t>(steps) : 0;
  const Shape shape{static_cast<std::int64_t>(n)};
  Tensor made;
  if (floating) {
    std::vector<double> values(n);
    for (std::size_t i = 0; i < n; ++i)
      values[i] = start.as_double() + static_cast<double>(i) * step.as_double();
    made = from_data(values.data(), shape, float64);
  } else {
    std::vector<std::int64_t> values(n);
    for (std::size_t i = 0; i < n; ++i)
      values[i] = start.as_int64() + static_cast<std::int64_t>(i) * step.as_int64();
    made = from_data(values.data(), shape, int64);
  }
  return finish(made.to(options.device, options.dtype.value_or(floating ? default_dtype() : int64)), options);
}
Tensor arange(Scalar stop, const TensorOptions& options) { return arange(0, stop, 1, options); }

Tensor eye(std::int64_t n, const TensorOptions& options) {
  Tensor made = zeros({n, n}, {.dtype = options.dtype, .device = options.device});
  make_alias(made, {n}, {n + 1}, 0).fill_(1);
  return finish(made, options);
}

Tensor empty_like(const Tensor& other) { return empty(other.shape(), options_of(other)); }
Tensor zeros_like(const Tensor& other) { return zeros(other.shape(), options_of(other)); }
Tensor ones_like(const Tensor& other) { return ones(other.shape(), options_of(other)); }
Tensor full_like(const Tensor& other, Scalar value) { return full(other.shape(), value, options_of(other)); }

}  // namespace miniparallel
