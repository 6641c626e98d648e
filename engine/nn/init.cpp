#include <miniparallel/nn/init.h>

#include <miniparallel/autograd.h>
#include <miniparallel/ops.h>

#include "engine/error.h"
#include "engine/ops/common.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

namespace miniparallel::nn::init {

namespace {

double gain(const KaimingOptions& options) {
  return std::sqrt(2 / (1 + options.negative_slope * options.negative_slope));
}

double fan(const Tensor& weight, Fan mode) {
  const Fans both = fans(weight);
  return mode == Fan::in ? both.in : both.out;
}

/// The share of a standard normal distribution below x.
double normal_share(double x) { return std::erfc(-x / std::numbers::sqrt2) / 2; }

/// y with erf(y) = x, float64: the approximation of Winitzki (2008), good to 0.4 %, and Newton's steps.
Tensor inverse_erf(const Tensor& x) {
  constexpr double a = 0.147;
  const Tensor tail = log(1 - square(x)), half = tail / 2 + 2 / (std::numbers::pi * a);
  Tensor y = sqrt(sqrt(square(half) - tail / a) - half);
  y = where(x < 0, -y, y);
  for (int step = 0; step < 3; ++step)
    y = y - (erf(y) - x) * exp(square(y)) * (std::sqrt(std::numbers::pi) / 2);
  return y;
}

/// Makes rows first to last of a matrix of doubles orthonormal to one another, each to those before it.
void orthonormalize_rows(double* rows, std::int64_t count, std::int64_t length) {
  for (std::int64_t i = 0; i < count; ++i) {
    double* const row = rows + i * length;
    for (std::int64_t j = 0; j < i; ++j) {
      const double* const other = rows + j * length;
      const double along = std::inner_product(row, row + length, other, 0.0);
      for (std::int64_t k = 0; k < length; ++k) row[k] -= along * other[k];
    }
    const double norm = std::sqrt(std::inner_product(row, row + length, row, 0.0));
    for (std::int64_t k = 0; k < length; ++k) row[k] /= norm;
  }
}

/// The Q of a matrix whose rows are the columns of Q R, R with a positive diagonal: Gram and
/// Schmidt's method, twice (Giraud et al. 2005), in blocks whose distance from the rows before is
/// one product of matrices.
void orthonormalize(const Tensor& matrix) {
  constexpr std::int64_t block = 32;
  const std::int64_t rows = matrix.size(0), length = matrix.size(1);
  for (std::int64_t begin = 0; begin < rows; begin += block) {
    const std::int64_t count = std::min(block, rows - begin);
    Tensor part = matrix.narrow(0, begin, count);
    const Tensor before = matrix.narrow(0, 0, begin);
    for (int pass = 0; pass < 2; ++pass) {
      if (begin > 0) part.sub_(matmul(matmul(part, before.t()), before));
      orthonormalize_rows(matrix.data<double>() + begin * length, count, length);
    }
  }
}

}  // namespace

Tensor uniform_(Tensor tensor, double low, double high) {
  const NoGradGuard guard;
  return tensor.uniform_(low, high);
}

Tensor normal_(Tensor tensor, double mean, double stddev) {
  const NoGradGuard guard;
  return tensor.normal_(mean, stddev);
}

Tensor constant_(Tensor tensor, double value) try {
  const NoGradGuard guard;
  return tensor.fill_(value);
} catch (const Error& error) {
  rethrow_as("constant_", error);
}

Tensor zeros_(Tensor tensor) try { return constant_(std::move(tensor), 0); } catch (const Error& error) {
  rethrow_as("zeros_", error);
}

Tensor ones_(Tensor tensor) try { return constant_(std::move(tensor), 1); } catch (const Error& error) {
  rethrow_as("ones_", error);
}

Tensor eye_(Tensor matrix) try {
  const NoGradGuard guard;
  check(matrix.dim() == 2, "eye_: got shape ", matrix.shape(), "; it must be a matrix");
  const Tensor row = arange(matrix.size(1), {.device = matrix.device()});
  const Tensor column = arange(matrix.size(0), {.device = matrix.device()}).unsqueeze(1);
  return matrix.copy_((row == column).to(matrix.dtype()));
} catch (const Error& error) {
  rethrow_as("eye_", error);
}

Tensor trunc_normal_(Tensor tensor, double mean, double stddev, double low, double high) try {
  const NoGradGuard guard;
  check(stddev > 0, "trunc_normal_: stddev is ", stddev, "; it must be above 0");
  check(low < high, "trunc_normal_: got numbers from ", low, " to ", high, "; the first must be below");
  // Numbers that are uniform between the shares below `low` and `high`, through the
  // inverse of the distribution.
  const double from = normal_share((low - mean) / stddev), to = normal_share((high - mean) / stddev);
  const double nearest = 1 - std::numeric_limits<double>::epsilon();  // to 1, whose inverse is infinite
  const Tensor share =
      empty(tensor.shape(), {.dtype = float64, .device = tensor.device()}).uniform_(from, to);
  const Tensor standard = inverse_erf(clamp(share * 2 - 1, -nearest, nearest)) * std::numbers::sqrt2;
  return tensor.copy_(clamp(standard * stddev + mean, low, high));
} catch (const Error& error) {
  rethrow_as("trunc_normal_", error);
}

Fans fans(const Tensor& weight) {
  check(weight.dim() >= 2, "fans: got shape ", weight.shape(),
        "; fan in and fan out need a weight (out, in, ...)");
  double receptive_field = 1;
  for (int i = 2; i < weight.dim(); ++i) receptive_field *= static_cast<double>(weight.size(i));
  return {.in = static_cast<double>(weight.size(1)) * receptive_field,
          .out = static_cast<double>(weight.size(0)) * receptive_field};
}

Tensor xavier_uniform_(Tensor weight, double gain) try {
  const Fans both = fans(weight);
  const double bound = gain * std::sqrt(6 / (both.in + both.out));
  return uniform_(std::move(weight), -bound, bound);
} catch (const Error& error) {
  rethrow_as("xavier_uniform_", error);
}

Tensor xavier_normal_(Tensor weight, double gain) try {
  const Fans both = fans(weight);
  return normal_(std::move(weight), 0, gain * std::sqrt(2 / (both.in + both.out)));
} catch (const Error& error) {
  rethrow_as("xavier_normal_", error);
}

Tensor kaiming_uniform_(Tensor weight, const KaimingOptions& options) try {
  const double bound = gain(options) * std::sqrt(3 / fan(weight, options.mode));
  return uniform_(std::move(weight), -bound, bound);
} catch (const Error& error) {
  rethrow_as("kaiming_uniform_", error);
}

Tensor kaiming_normal_(Tensor weight, const KaimingOptions& options) try {
  const double stddev = gain(options) / std::sqrt(fan(weight, options.mode));
  return normal_(std::move(weight), 0, stddev);
} catch (const Error& error) {
  rethrow_as("kaiming_normal_", error);
}

Tensor orthogonal_(Tensor weight, double gain) try {
  const NoGradGuard guard;
  check(weight.dim() >= 2, "orthogonal_: got shape ", weight.shape(), "; it needs a weight (out, in, ...)");
  if (weight.numel() == 0) return weight;
  const std::int64_t rows = weight.size(0), columns = weight.numel() / rows;
  const Tensor vectors = randn({std::min(rows, columns), std::max(rows, columns)}, {.dtype = float64});
  orthonormalize(vectors);
  const Tensor matrix = rows <= columns ? vectors : vectors.t();
  return weight.copy_((matrix * gain).reshape(weight.shape()));
} catch (const Error& error) {
  rethrow_as("orthogonal_", error);
}

}  // namespace miniparallel::nn::init
