#include "engine/ops/common.h"
#include "engine/types/representable.h"

#include <algorithm>
#include <cmath>
#include <limits>

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
  check_shape("empty", shape);
  return finish(make_tensor(shape, options.dtype.value_or(default_dtype()), options.device), options);
}
Tensor zeros(const Shape& shape, const TensorOptions& options) {
  return make_full("zeros", shape, 0, with_dtype(options, default_dtype()));
}
Tensor ones(const Shape& shape, const TensorOptions& options) {
  return make_full("ones", shape, 1, with_dtype(options, default_dtype()));
}
Tensor scalar_tensor(Scalar value, const TensorOptions& options) {
  return make_full("scalar_tensor", {}, value, options);
}

namespace {

template <class T>
void check_sign(T start, T stop, T step) {
  check(!(step > 0 ? stop < start : stop > start), "arange: a step of ", step, " does not lead from ", start,
        " to ", stop, "; give it the other sign");
}

/// Throws unless the numbers from `start` to that before `stop` are in the dtype's range.
void check_ends(Scalar start, Scalar last, DType dtype) {
  for (const Scalar end : {start, last}) {
    check_representable("arange", end, dtype);
    if (dtype == boolean) check_representable_count("arange", end.as_int64(), dtype);
  }
}

Tensor arange_floating(double start, double stop, double step, DType dtype, Device device) {
  const double steps = std::ceil((stop - start) / step);
  check_sign(start, stop, step);
  check(std::isfinite(steps) && steps < 9e18, "arange: from ", start, " to ", stop, " in steps of ", step,
        " never ends; choose finite ends and a larger step");
  const auto n = static_cast<std::int64_t>(steps);
  if (n > 0) check_ends(start, start + static_cast<double>(n - 1) * step, dtype);
  Tensor made = make_tensor({n}, float64, device);
  backend(made).elementwise.real_sequence({start, step}, reinterpret_cast<double*>(raw(made)), made.numel(),
                                          stream(made));
  return made;
}

/// Unsigned arithmetic: the distance of two numbers may not fit 63 bits.
Tensor arange_integer(std::int64_t start, std::int64_t stop, std::int64_t step, DType dtype, Device device) {
  using Unsigned = std::uint64_t;
  const auto from = static_cast<Unsigned>(start), to = static_cast<Unsigned>(stop);
  const bool up = step > 0;
  check_sign(start, stop, step);
  const Unsigned distance = up ? to - from : from - to;
  const Unsigned stride = up ? static_cast<Unsigned>(step) : 0 - static_cast<Unsigned>(step);
  const auto n = static_cast<std::int64_t>(distance / stride + (distance % stride != 0));
  if (n > 0)
    check_ends(start,
               static_cast<std::int64_t>(from + static_cast<Unsigned>(n - 1) * static_cast<Unsigned>(step)),
               dtype);
  Tensor made = make_tensor({n}, int64, device);
  backend(made).elementwise.sequence({start, step}, reinterpret_cast<std::int64_t*>(raw(made)), n,
                                     stream(made));
  return made;
}

}  // namespace

Tensor arange(Scalar start, Scalar stop, Scalar step, const TensorOptions& options) {
  using Kind = Scalar::Kind;
  check(step.as_double() != 0, "arange: the step is 0; it must lead from start to stop");
  const bool floating =
      start.kind() == Kind::floating || stop.kind() == Kind::floating || step.kind() == Kind::floating;
  const DType dtype = options.dtype.value_or(floating ? default_dtype() : int64);
  for (const Scalar number : {start, stop, step})
    if (!floating) check_representable("arange", number, int64);
  Tensor made =
      floating ? arange_floating(start.as_double(), stop.as_double(), step.as_double(), dtype, options.device)
               : arange_integer(start.as_int64(), stop.as_int64(), step.as_int64(), dtype, options.device);
  return finish(made.to(dtype), options);
}
Tensor arange(Scalar stop, const TensorOptions& options) { return arange(0, stop, 1, options); }

namespace {

/// In float64, where rounding is out of sight, from the nearer end, so that both are exact.
Tensor evenly_spaced(const char* op, double start, double end, std::int64_t steps, Device device) {
  check(steps >= 0, op, ": the number of steps is ", steps, "; it must be at least 0");
  const Tensor place = arange(steps, {.dtype = float64, .device = device});
  const TensorOptions options{.dtype = float64, .device = device};
  const double last = std::max<double>(static_cast<double>(steps - 1), 1);
  return lerp(full({}, start, options), full({}, end, options), place / last);
}

/// Numbers from `first` to `last` in the dtype that was asked for. Throws unless it has the ends.
Tensor finish_range(const char* op, const Tensor& made, double first, double last,
                    const TensorOptions& options) {
  const DType dtype = options.dtype.value_or(default_dtype());
  if (made.numel() > 0) check_representable(op, first, dtype);
  if (made.numel() > 1) check_representable(op, last, dtype);
  return finish(made.to(dtype), options);
}

}  // namespace

Tensor linspace(double start, double end, std::int64_t steps, const TensorOptions& options) {
  const Tensor made = evenly_spaced("linspace", start, end, steps, options.device);
  return finish_range("linspace", made, start, end, options);
}

Tensor logspace(double start, double end, std::int64_t steps, double base, const TensorOptions& options) {
  const Tensor made = pow(base, evenly_spaced("logspace", start, end, steps, options.device));
  return finish_range("logspace", made, std::pow(base, start), std::pow(base, end), options);
}

Tensor eye(std::int64_t n, const TensorOptions& options) {
  check_shape("eye", {n, n});
  Tensor made = zeros({n, n}, {.dtype = options.dtype, .device = options.device});
  make_alias(made, {n}, {n + 1}, 0).fill_(1);
  return finish(made, options);
}

// --- from the program's numbers

TensorData::TensorData() : TensorData(std::initializer_list<Scalar>()) {}
TensorData::TensorData(std::initializer_list<Scalar> values) {
  take_scalars(std::span(values.begin(), values.size()), {static_cast<std::int64_t>(values.size())});
}
TensorData::TensorData(std::initializer_list<std::initializer_list<Scalar>> rows) {
  take_nested<Scalar>(rows);
}

void TensorData::keep(const void* values, const Shape& shape, DType dtype) {
  elements_ = from_data(values, shape, dtype);
  dtype_ = is_floating(dtype) ? default_dtype() : dtype;
}

void TensorData::take_scalars(std::span<const Scalar> values, const Shape& shape) {
  auto kind = values.empty() ? Scalar::Kind::floating : Scalar::Kind::truth;
  for (const Scalar value : values) kind = std::max(kind, value.kind());
  if (kind == Scalar::Kind::floating) {
    std::vector<double> numbers;
    for (const Scalar value : values) numbers.push_back(value.as_double());
    return take(numbers, shape);
  }
  std::vector<std::int64_t> numbers;
  for (const Scalar value : values) {
    check_representable("tensor", value, int64);
    numbers.push_back(value.as_int64());
  }
  take(numbers, shape);
}

void TensorData::check_fits(std::uint64_t value) {
  check(value <= std::numeric_limits<std::int64_t>::max(), "tensor: ", value,
        " does not fit int64, the largest integer dtype; convert the values to double");
}

void TensorData::check_row(std::int64_t size, std::int64_t expected) {
  check(size == expected, "tensor: a row has ", size, " elements, another ", expected,
        "; rows must be equally long");
}

namespace {

/// Throws unless `dtype` has every element.
void check_values(const Tensor& elements, DType dtype) {
  const DType stored = elements.dtype();
  const bool widens = !is_floating(stored) && size_of(stored) <= size_of(dtype);
  if (is_floating(dtype) || dtype == boolean || stored == dtype || widens) return;
  if (is_floating(stored))
    for (const double value : elements.to_vector<double>()) check_representable("tensor", value, dtype);
  else
    for (const std::int64_t value : elements.to_vector<std::int64_t>())
      check_representable("tensor", value, dtype);
}

}  // namespace

Tensor tensor(TensorData data, const TensorOptions& options) {
  const DType dtype = options.dtype.value_or(data.dtype());
  check_values(data.elements(), dtype);
  return finish(data.elements().to(options.device, dtype), options);
}
Tensor tensor(TensorData data, const Shape& shape, const TensorOptions& options) {
  const std::int64_t count = data.elements().numel();
  const DType dtype = options.dtype.value_or(data.dtype());
  check_shape("tensor", shape);
  check(shape.numel() == count, "tensor: got ", count, " values for shape ", shape, ", which has ",
        shape.numel(), " elements; give one value for each");
  check_values(data.elements(), dtype);
  return finish(data.elements().view(shape).detach().to(options.device, dtype), options);
}

Tensor empty_like(const Tensor& other) { return empty(other.shape(), options_of(other)); }
Tensor zeros_like(const Tensor& other) { return zeros(other.shape(), options_of(other)); }
Tensor ones_like(const Tensor& other) { return ones(other.shape(), options_of(other)); }
Tensor full_like(const Tensor& other, Scalar value) {
  check_defined("full_like", other);
  return make_full("full_like", other.shape(), value, options_of(other));
}

}  // namespace miniparallel
