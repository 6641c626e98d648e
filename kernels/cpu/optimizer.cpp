#include "kernels/optimizer.h"

#include "kernels/by_dtype.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/optimizer.cpp"
#include "kernels/cpu/targets.h"

#ifndef MINIPARALLEL_KERNELS_CPU_OPTIMIZER  // once, not per instruction set
#define MINIPARALLEL_KERNELS_CPU_OPTIMIZER

namespace miniparallel::kernels::cpu {

/// Loops over elements [begin, end) of one row.
template <class Row>
using RowLoop = void (*)(const Row& row, std::int64_t begin, std::int64_t end);

/// Coefficients that all rows of a clipping share.
struct ClipLoops {
  void (*scale)(void* gradient, double factor, std::int64_t begin, std::int64_t end);
  void (*clamp)(void* gradient, double limit, std::int64_t begin, std::int64_t end);
  /// Sum of |g| or g^2, or the maximum of |g|, in float64.
  double (*norm[3])(const void* gradient, std::int64_t begin, std::int64_t end);
};

struct OptimizerLoops {
  ByDType<RowLoop<SgdRow>> sgd;
  ByDType<RowLoop<AdamRow>> adam;
  ByDType<ClipLoops> clip;
};

}  // namespace miniparallel::kernels::cpu

#endif

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

template <class T, bool with_momentum, bool nesterov>
void sgd_loop(const SgdRow& row, std::int64_t begin, std::int64_t end) {
  T *p = out<T>(row.parameter), *buffer = out<T>(row.momentum_buffer);
  const T* gradient = in<T>(row.gradient);
  const functors::SgdUpdate<T> update(row);
  MP_IVDEP
  for (std::int64_t i = begin; i < end; ++i) {
    T g = update.decayed(gradient[i], p[i]);
    if constexpr (with_momentum) g = update.with_momentum(g, buffer[i], nesterov);
    p[i] = update.stepped(p[i], g);
  }
}

template <class T>
void sgd(const SgdRow& row, std::int64_t begin, std::int64_t end) {
  if (row.momentum_buffer == nullptr) return sgd_loop<T, false, false>(row, begin, end);
  if (row.nesterov) return sgd_loop<T, true, true>(row, begin, end);
  sgd_loop<T, true, false>(row, begin, end);
}

template <class T>
void adam(const AdamRow& row, std::int64_t begin, std::int64_t end) {
  T *p = out<T>(row.parameter), *exp_avg = out<T>(row.exp_avg), *exp_avg_sq = out<T>(row.exp_avg_sq);
  const T* gradient = in<T>(row.gradient);
  const functors::AdamUpdate<T> update(row);
  MP_IVDEP
  for (std::int64_t i = begin; i < end; ++i) update(p[i], gradient[i], exp_avg[i], exp_avg_sq[i]);
}

template <class T, template <class> class Functor>
void change(void* gradient, double number, std::int64_t begin, std::int64_t end) {
  T* g = out<T>(gradient);
  const Functor<T> changed{static_cast<T>(number)};
  for (std::int64_t i = begin; i < end; ++i) g[i] = changed(g[i]);
}

template <class T, NormKind kind>
double norm(const void* gradient, std::int64_t begin, std::int64_t end) {
  using Parts = std::conditional_t<kind == NormKind::infinity, MaxParts, SumParts>;
  constexpr int kLanes = 16;
  const T* g = in<T>(gradient);
  double lanes[kLanes] = {};
  std::int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes)
    for (int lane = 0; lane < kLanes; ++lane)
      lanes[lane] = Parts::combine(lanes[lane], norm_part(kind, static_cast<double>(g[i + lane])));
  for (; i < end; ++i) lanes[0] = Parts::combine(lanes[0], norm_part(kind, static_cast<double>(g[i])));
  double total = 0;
  for (const double lane : lanes) total = Parts::combine(total, lane);
  return total;
}

template <class T>
constexpr ClipLoops kClip{change<T, functors::ScaleGradient>,
                          change<T, functors::ClampGradient>,
                          {norm<T, NormKind::one>, norm<T, NormKind::two>, norm<T, NormKind::infinity>}};

}  // namespace

const OptimizerLoops& optimizer_loops() {
  static constexpr OptimizerLoops table{.sgd = {sgd<float>, sgd<double>},
                                        .adam = {adam<float>, adam<double>},
                                        .clip = {kClip<float>, kClip<double>}};
  return table;
}

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {
namespace {

MP_DISPATCH(OptimizerLoops, optimizer_loops)

constexpr std::int64_t kElementGrain = 1 << 14;

std::int64_t chunks_of(const GradientRow& row) { return norm_partials({&row, 1}); }

/// Splits `items(row)` of all rows, as if they stood one after the other, over the threads.
template <class Row, class Items, class Body>
void for_each_row_part(std::span<const Row> rows, std::int64_t grain, const Items& items, const Body& body) {
  std::int64_t total = 0;
  for (const Row& row : rows) total += items(row);
  parallel_for(total, grain, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t start = 0;  // of the row, among all items
    for (const Row& row : rows) {
      const std::int64_t count = items(row);
      const std::int64_t first = std::max(begin - start, std::int64_t{0}),
                         last = std::min(end - start, count);
      if (first < last) body(row, first, last, start);
      start += count;
      if (start >= end) return;
    }
  });
}

template <class Row, class Body>
void for_each_element_range(std::span<const Row> rows, const Body& body) {
  for_each_row_part(
      rows, kElementGrain, [](const Row& row) { return row.n; },
      [&](const Row& row, std::int64_t begin, std::int64_t end, std::int64_t) { body(row, begin, end); });
}

void sgd(DType dtype, std::span<const SgdRow> rows, Stream) {
  for_each_element_range(rows, optimizer_loops().sgd[dtype]);
}

void adam(DType dtype, std::span<const AdamRow> rows, Stream) {
  for_each_element_range(rows, optimizer_loops().adam[dtype]);
}

void norm(DType dtype, NormKind kind, std::span<const GradientRow> rows, double* partials, double* result,
          Stream) {
  const auto loop = optimizer_loops().clip[dtype].norm[static_cast<int>(kind)];
  for_each_row_part(rows, kElementGrain / kNormChunk, chunks_of,
                    [&](const GradientRow& row, std::int64_t begin, std::int64_t end, std::int64_t start) {
                      for (std::int64_t chunk = begin; chunk < end; ++chunk)
                        partials[start + chunk] =
                            loop(row.gradient, chunk * kNormChunk, std::min(row.n, (chunk + 1) * kNormChunk));
                    });
  double total = 0;
  for (std::int64_t i = 0, count = norm_partials(rows); i < count; ++i)
    total = kind == NormKind::infinity ? MaxParts::combine(total, partials[i])
                                       : SumParts::combine(total, partials[i]);
  *result = norm_of_total(kind, total);
}

void clip_norm(DType dtype, std::span<const GradientRow> rows, const double* norm, double max_norm, Stream) {
  const double factor = clip_factor(*norm, max_norm);
  if (factor >= 1) return;
  const auto loop = optimizer_loops().clip[dtype].scale;
  for_each_element_range(rows, [&](const GradientRow& row, std::int64_t begin, std::int64_t end) {
    loop(row.gradient, factor, begin, end);
  });
}

void clip_value(DType dtype, std::span<const GradientRow> rows, double limit, Stream) {
  const auto loop = optimizer_loops().clip[dtype].clamp;
  for_each_element_range(rows, [&](const GradientRow& row, std::int64_t begin, std::int64_t end) {
    loop(row.gradient, limit, begin, end);
  });
}

}  // namespace

const Optimizer& optimizer() {
  static constexpr Optimizer launchers{
      .sgd = sgd, .adam = adam, .norm = norm, .clip_norm = clip_norm, .clip_value = clip_value};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu
#endif
