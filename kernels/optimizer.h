#pragma once

#include <miniparallel/dtype.h>

#include "kernels/half.h"
#include "kernels/math.h"
#include "kernels/stream.h"
#include "kernels/update.h"

#include <cstdint>
#include <span>

/// Updates of a whole parameter set, one launch each: a list with one row per tensor holds its pointers and
/// its numbers, and the work is split over elements across tensors. Arrays are contiguous and do not overlap;
/// where a call has a dtype, float32 or float64, it is that of every row; GPUs take 16 bits, too, which they
/// compute with in float32. The rows are read before a launcher returns.

namespace miniparallel::kernels {

namespace functors {

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

/// An array that is added to another one, both of this floating-point dtype.
struct SumRow {
  DType dtype;
  void* sum;
  const void* addend;
  std::int64_t n;
};
/// sum + addend; those of 16 bits are added in float32 and rounded once.
template <class T>
MP_INLINE T sum_of_two(T sum, T addend) {
  if constexpr (sizeof(T) == 2)
    return convert<T>(convert<float>(sum) + convert<float>(addend));
  else
    return sum + addend;
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
#define MP_MEMBER(name, Formula) \
  void (*name)(DType dtype, std::span<const UpdateRow<updates::Formula>> rows, Stream stream);
  MP_UPDATES(MP_MEMBER)
#undef MP_MEMBER
  /// The same of bfloat16 on both devices, with the same random bits.
  void (*rounded_adam)(DType dtype, std::span<const UpdateRow<updates::RoundedAdam>> rows, Stream stream);
  /// result (1) = the norm of all elements of all rows, summed in float64 in an order that depends on nothing
  /// but the rows. partials (norm_partials(rows)).
  void (*norm)(DType dtype, NormKind kind, std::span<const GradientRow> rows, double* partials,
               double* result, Stream stream);
  /// g *= min(1, clip_factor); norm (1), where the rows are. A NaN norm makes every element NaN.
  void (*clip_norm)(DType dtype, std::span<const GradientRow> rows, const double* norm, double max_norm,
                    Stream stream);
  /// g = min(max(g, -limit), limit); NaN stays.
  void (*clip_value)(DType dtype, std::span<const GradientRow> rows, double limit, Stream stream);
  /// sum += addend. The rows may differ in dtype. Some hundreds are one launch: if it fails none is added.
  void (*accumulate)(std::span<const SumRow> rows, Stream stream);
};

}  // namespace miniparallel::kernels
