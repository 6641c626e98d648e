#pragma once

#include <miniparallel/dtype.h>

#include "kernels/math.h"
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

namespace functors {

/// SGD's update of one element, in three steps, of which momentum may be left out.
template <class T>
struct SgdUpdate {
  T lr, momentum, gradient_scale, weight_decay;

  MP_INLINE explicit SgdUpdate(const SgdRow& row)
      : lr(static_cast<T>(row.lr)),
        momentum(static_cast<T>(row.momentum)),
        gradient_scale(static_cast<T>(row.gradient_scale)),
        weight_decay(static_cast<T>(row.weight_decay)) {}

  MP_INLINE T decayed(T gradient, T p) const { return gradient + weight_decay * p; }
  MP_INLINE T with_momentum(T g, T& buffer, bool nesterov) const {
    buffer = momentum * buffer + gradient_scale * g;
    return nesterov ? g + momentum * buffer : buffer;
  }
  MP_INLINE T stepped(T p, T g) const { return p - lr * g; }
};

/// Adam's.
template <class T>
struct AdamUpdate {
  T rest1, beta2, rest2, eps, weight_decay, decay, step_size, correction;

  MP_INLINE explicit AdamUpdate(const AdamRow& row)
      : rest1(static_cast<T>(1 - row.beta1)),
        beta2(static_cast<T>(row.beta2)),
        rest2(static_cast<T>(1 - row.beta2)),
        eps(static_cast<T>(row.eps)),
        weight_decay(static_cast<T>(row.weight_decay)),
        decay(static_cast<T>(row.decay)),
        step_size(static_cast<T>(row.step_size)),
        correction(static_cast<T>(1 / row.correction)) {}

  MP_INLINE void operator()(T& p, T gradient, T& exp_avg, T& exp_avg_sq) const {
    const T value = p * decay;
    const T g = gradient + weight_decay * value;
    exp_avg += rest1 * (g - exp_avg);
    exp_avg_sq = beta2 * exp_avg_sq + rest2 * g * g;
    p = value - step_size * exp_avg / (math::sqrt(exp_avg_sq) * correction + eps);
  }
};

/// g = min(max(g, -limit), limit); NaN stays.
template <class T>
struct ClampGradient {
  T limit;
  MP_INLINE T operator()(T g) const {
    const T raised = g < -limit ? -limit : g;
    return raised > limit ? limit : raised;
  }
};

template <class T>
struct ScaleGradient {
  T factor;
  MP_INLINE T operator()(T g) const { return g * factor; }
};

}  // namespace functors

/// What clipping to `max_norm` multiplies gradients of this norm by; where it is 1 or more they stay.
MP_INLINE double clip_factor(double norm, double max_norm) { return max_norm / (norm + 1e-6); }

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

/// What one element adds to a norm, how two parts of one join, and what their total stands for.
MP_INLINE double norm_part(NormKind kind, double g) { return kind == NormKind::two ? g * g : g < 0 ? -g : g; }
struct SumParts {
  using Accumulator = double;
  MP_INLINE static double combine(double a, double b) { return a + b; }
};
struct MaxParts {
  using Accumulator = double;
  MP_INLINE static double combine(double a, double b) { return a > b || a != a ? a : b; }  // NaN stays
};
MP_INLINE double norm_of_total(NormKind kind, double total) {
  return kind == NormKind::two ? math::sqrt(total) : total;
}

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
  /// g *= min(1, clip_factor); norm (1), where the rows are. A NaN norm makes every element NaN.
  void (*clip_norm)(DType dtype, std::span<const GradientRow> rows, const double* norm, double max_norm,
                    Stream stream);
  /// g = min(max(g, -limit), limit); NaN stays.
  void (*clip_value)(DType dtype, std::span<const GradientRow> rows, double limit, Stream stream);
};

}  // namespace miniparallel::kernels
