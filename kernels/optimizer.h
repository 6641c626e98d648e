#pragma once

#include <miniparallel/dtype.h>

#include "kernels/sizes.h"
#include "kernels/stream.h"

#include <cstdint>
#include <span>

/// Updates of a whole parameter set, one launch each: a list with one row per tensor holds its pointers and
/// its numbers, and the work is split over elements across tensors. Arrays are contiguous and do not overlap;
/// every row of a call has the call's dtype, float32 or float64. The rows are read before a launcher returns.

namespace miniparallel::kernels {

/// g += weight_decay p; with `momentum_buffer`: buffer = momentum buffer + gradient_scale g, and g = buffer
/// or, for Nesterov, g + momentum buffer; p -= lr g.
struct SgdRow {
  void* parameter;
  const void* gradient;
  void* momentum_buffer;  ///< null without momentum
  std::int64_t n;
  double lr, momentum, gradient_scale, weight_decay;
  bool nesterov;
};

/// p *= decay; g += weight_decay p; exp_avg and exp_avg_sq move towards g and g^2;
/// p -= step_size exp_avg / (sqrt(exp_avg_sq) / correction + eps). (Kingma, Ba 2014; Loshchilov, Hutter
/// 2017.)
struct AdamRow {
  void* parameter;
  const void* gradient;
  void* exp_avg;
  void* exp_avg_sq;
  std::int64_t n;
  double beta1, beta2, eps;
  double weight_decay;  ///< Adam's, added to the gradient
  double decay;         ///< AdamW's, 1 - lr weight_decay
  double step_size;     ///< lr / (1 - beta1^step)
  double correction;    ///< sqrt(1 - beta2^step)
};

struct GradientRow {
  void* gradient;
  std::int64_t n;
};

template <class Row>
Sizes sizes(std::span<const Row> rows) {
  std::int64_t elements = 0;
  for (const Row& row : rows) elements += row.n;
  return {"tensors elements", {static_cast<std::int64_t>(rows.size()), elements}};
}

enum class NormKind { one, two, infinity };

/// Elements of one row that make one partial result of a norm.
inline constexpr std::int64_t kNormChunk = 4096;

/// Partial results that `Optimizer::norm` needs room for.
inline std::int64_t norm_partials(std::span<const GradientRow> rows) {
  std::int64_t count = 0;
  for (const GradientRow& row : rows) count += (row.n + kNormChunk - 1) / kNormChunk;
  return count;
}

struct Optimizer {
  void (*sgd)(DType dtype, std::span<const SgdRow> rows, Stream stream);
  void (*adam)(DType dtype, std::span<const AdamRow> rows, Stream stream);
  /// result (1) = the norm of all elements of all rows, summed in float64 in an order that depends on nothing
  /// but the rows. partials (norm_partials(rows)).
  void (*norm)(DType dtype, NormKind kind, std::span<const GradientRow> rows, double* partials,
               double* result, Stream stream);
  /// g *= min(1, max_norm / (norm + 1e-6)); norm (1), where the rows are. A NaN norm makes every element NaN.
  void (*clip_norm)(DType dtype, std::span<const GradientRow> rows, const double* norm, double max_norm,
                    Stream stream);
  /// g = min(max(g, -limit), limit); NaN stays.
  void (*clip_value)(DType dtype, std::span<const GradientRow> rows, double limit, Stream stream);
};

}  // namespace miniparallel::kernels
