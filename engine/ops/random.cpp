#include "engine/ops/dropout.h"
#include "engine/ops/half.h"
#include "engine/ops/in_place.h"
#include "engine/random/generator.h"
#include "engine/types/representable.h"

#include <algorithm>
#include <cmath>

namespace miniparallel {
namespace {

using kernels::RandomKey;

/// The dtype in which numbers for `dtype` are drawn: 16-bit types are rounded from float32.
DType drawn_dtype(const char* op, DType dtype) {
  check(is_floating(dtype), op, ": got dtype ", dtype,
        "; random reals need a floating dtype (randint draws integers)");
  return dtype == float64 ? float64 : float32;
}

Tensor finish(Tensor drawn, const TensorOptions& options, DType dtype) {
  Tensor y = drawn.to(dtype);
  return options.requires_grad ? y.requires_grad_() : y;
}

Tensor draw_uniform(const char* op, const Shape& shape, DType dtype, Device device, double low, double high) {
  check_shape(op, shape);
  Tensor y = make_tensor(shape, drawn_dtype(op, dtype), device);
  for (const double bound : {low, high}) check_representable(op, bound, dtype);
  const double width = high - low;
  check(std::isfinite(width) && is_representable(width, y.dtype()), op, ": from ", low, " to ", high,
        " is a range wider than the greatest number of ", y.dtype(), "; bring the bounds closer together");
  const double first = rounded(low, dtype), last = next_below(rounded(high, dtype), dtype);
  const RandomKey key = next_random_key(y.numel(), y.device());
  backend(y).random.uniform(y.dtype(), raw(y), y.numel(), {low, high, std::max(first, last)}, key, stream(y));
  return y;
}

Tensor draw_normal(const char* op, const Shape& shape, DType dtype, Device device, double mean,
                   double stddev) {
  check_shape(op, shape);
  Tensor y = make_tensor(shape, drawn_dtype(op, dtype), device);
  for (const double parameter : {mean, stddev}) check_representable(op, parameter, dtype);
  const RandomKey key = next_random_key(y.numel(), y.device());
  backend(y).random.normal(y.dtype(), raw(y), y.numel(), mean, stddev, key, stream(y));
  return y;
}

}  // namespace

// --- creation

Tensor rand(const Shape& shape, const TensorOptions& options) {
  const DType dtype = options.dtype.value_or(default_dtype());
  return finish(draw_uniform("rand", shape, dtype, options.device, 0, 1), options, dtype);
}

Tensor randn(const Shape& shape, const TensorOptions& options) {
  const DType dtype = options.dtype.value_or(default_dtype());
  return finish(draw_normal("randn", shape, dtype, options.device, 0, 1), options, dtype);
}

Tensor rand_like(const Tensor& other) {
  check_defined("rand_like", other);
  return draw_uniform("rand_like", other.shape(), other.dtype(), other.device(), 0, 1).to(other.dtype());
}

Tensor randn_like(const Tensor& other) {
  check_defined("randn_like", other);
  return draw_normal("randn_like", other.shape(), other.dtype(), other.device(), 0, 1).to(other.dtype());
}

namespace {

/// Integers in [low, high) that a floating dtype has not all: those between become one of their neighbours in
/// the dtype, which must not be one beyond the ends.
Tensor within(const Tensor& y, std::int64_t low, std::int64_t high, DType dtype) {
  const std::int64_t exact = last_exact_integer(dtype), greatest = high - 1;
  if (-exact <= low && greatest <= exact) return y;
  double first = rounded(static_cast<double>(low), dtype),
         last = rounded(static_cast<double>(greatest), dtype);
  if (last >= 0x1p63 || static_cast<std::int64_t>(last) > greatest) last = next_below(last, dtype);
  if (first < 0x1p63 && static_cast<std::int64_t>(first) < low) first = next_above(first, dtype);
  check(first <= last, "randint: ", dtype, " has no integer in [", low, ", ", high,
        "); choose another range or dtype");
  return clamp(y, static_cast<std::int64_t>(first), static_cast<std::int64_t>(last));
}

}  // namespace

Tensor randint(std::int64_t low, std::int64_t high, const Shape& shape, const TensorOptions& options) {
  check(low < high, "randint: got low ", low, " and high ", high,
        "; the range [low, high) must not be empty");
  const DType dtype = options.dtype.value_or(int64);
  for (const std::int64_t end : {low, high - 1}) check_representable_count("randint", end, dtype);
  check_shape("randint", shape);
  Tensor y = make_tensor(shape, int64, options.device);
  const std::uint64_t range = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
  const RandomKey key = next_random_key(y.numel(), y.device());
  backend(y).random.integers(reinterpret_cast<std::int64_t*>(raw(y)), y.numel(), low, range, key, stream(y));
  return finish(is_floating(dtype) ? within(y, low, high, dtype) : y, options, dtype);
}

Tensor randperm(std::int64_t n, const TensorOptions& options) {
  check(n >= 0, "randperm: got n = ", n, "; it must not be negative");
  const DType dtype = options.dtype.value_or(int64);
  if (n > 0) check_representable_count("randperm", n - 1, dtype);
  check(!is_floating(dtype) || n - 1 <= last_exact_integer(dtype), "randperm: ", dtype,
        " does not have every integer below ", n, "; choose a wider dtype");
  Tensor y = make_tensor({n}, int64, options.device);
  stop_capture("draws a permutation (randperm)", "draw it before the step and pass it as an argument");
  backend(y).random.permutation(reinterpret_cast<std::int64_t*>(raw(y)), n, next_key(n), stream(y));
  return finish(y, options, dtype);
}

// --- in place

Tensor& Tensor::uniform_(double low, double high) {
  check_defined("uniform_", *this);
  check(low <= high && std::isfinite(low) && std::isfinite(high), "uniform_: got the bounds ", low, " and ",
        high, "; they must be finite, the lower one first");
  return copy_into("uniform_", *this, draw_uniform("uniform_", shape(), dtype(), device(), low, high));
}

Tensor& Tensor::normal_(double mean, double stddev) {
  check_defined("normal_", *this);
  check(std::isfinite(mean) && std::isfinite(stddev) && stddev >= 0, "normal_: got the mean ", mean,
        " and the standard deviation ", stddev, "; both must be finite, the second at least 0");
  return copy_into("normal_", *this, draw_normal("normal_", shape(), dtype(), device(), mean, stddev));
}

Tensor& Tensor::exponential_(double lambda) {
  check_defined("exponential_", *this);
  check(lambda > 0 && std::isfinite(lambda), "exponential_: lambda is ", lambda,
        "; it must be above 0 and finite");
  const Tensor below_one =
      draw_uniform("exponential_", shape(), drawn_dtype("exponential_", dtype()), device(), 0, 1);
  return copy_into("exponential_", *this, miniparallel::log1p(-below_one) * (-1 / lambda));
}

// --- trials

namespace {

/// On a GPU the host does not wait for the elements.
void check_probabilities(const char* op, const Tensor& p) {
  check_defined(op, p);
  check(p.is_floating(), op, ": got probabilities of dtype ", p.dtype(), "; convert them to a floating one");
  if (!p.device().is_cpu() || p.numel() == 0) return;
  const Tensor wide = p.detach().to(float64);
  const double least = amin(wide).item(), greatest = amax(wide).item();
  check(least >= 0 && greatest <= 1, op, ": got probabilities from ", least, " to ", greatest,
        "; they must be in [0, 1]");
}

/// Which of the trials, of that shape, succeed: bool. `p`: a number, or a tensor that has the shape.
template <class Probability>
Tensor trials(const char* op, const Shape& shape, DType dtype, Device device, const Probability& p) {
  return draw_uniform(op, shape, dtype == float64 ? float64 : float32, device, 0, 1) < p;
}
Tensor trials(const char* op, const Tensor& p, const Shape& shape) {
  const DType dtype = p.dtype() == float64 ? float64 : float32;
  return trials(op, shape, dtype, p.device(), p.detach().to(dtype).expand(shape));
}

}  // namespace

Tensor bernoulli(const Tensor& p) {
  check_probabilities("bernoulli", p);
  return trials("bernoulli", p, p.shape()).to(p.dtype());
}

Tensor bernoulli(const Tensor& x, double p) {
  check_defined("bernoulli", x);
  check_probability("bernoulli", p);
  return trials("bernoulli", x.shape(), x.dtype(), x.device(), p).to(x.dtype());
}

Tensor& Tensor::bernoulli_(double p) {
  check_defined("bernoulli_", *this);
  check_probability("bernoulli_", p);
  return copy_into("bernoulli_", *this, trials("bernoulli_", shape(), dtype(), device(), p).to(dtype()));
}

Tensor& Tensor::bernoulli_(const Tensor& p) {
  check_defined("bernoulli_", *this);
  check_probabilities("bernoulli_", p);
  check_same_device("bernoulli_", {*this, p});
  check(broadcast_shapes("bernoulli_", shape(), p.shape()) == shape(), "bernoulli_: probabilities of shape ",
        p.shape(), " do not broadcast to ", shape(), "; reshape them");
  return copy_into("bernoulli_", *this, trials("bernoulli_", p, shape()).to(dtype()));
}

Tensor alpha_dropout(const Tensor& x, double p, bool training) try {
  check_floating("alpha_dropout", x);
  check_probability("alpha_dropout", p);
  if (is_half(x)) return in_float32(MP_OP(alpha_dropout), x, p, training);
  if (!training || p == 0) return x;
  if (p == 1) return x * 0;
  constexpr double low = -1.7580993408473766;  // what SELU tends to far below 0
  const double scale = 1 / std::sqrt((1 - p) * (1 + p * low * low));
  const Tensor kept = trials("alpha_dropout", x.shape(), x.dtype(), x.device(), 1 - p);
  return where(kept, x, low) * scale - scale * p * low;
} catch (const Error& error) {
  rethrow_as("alpha_dropout", error);
}

Tensor rrelu(const Tensor& x, double lower, double upper, bool training) try {
  check_floating("rrelu", x);
  check(lower <= upper, "rrelu: slopes from ", lower, " to ", upper, "; the lower one comes first");
  if (is_half(x)) return in_float32(MP_OP(rrelu), x, lower, upper, training);
  if (!training) return leaky_relu(x, (lower + upper) / 2);
  const Tensor slope = draw_uniform("rrelu", x.shape(), x.dtype(), x.device(), lower, upper);
  return where(x > 0, x, x * slope);
} catch (const Error& error) {
  rethrow_as("rrelu", error);
}

}  // namespace miniparallel
