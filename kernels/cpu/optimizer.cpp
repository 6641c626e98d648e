#include "kernels/optimizer.h"

#include "kernels/by_dtype.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>
#include <type_traits>
#include <utility>

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
#define MP_MEMBER(name, Formula) ByDType<RowLoop<UpdateRow<updates::Formula>>> name;
  MP_UPDATES(MP_MEMBER)
#undef MP_MEMBER
  RowLoop<UpdateRow<updates::RoundedAdam>> rounded_adam;
  ByDType<ClipLoops> clip;
  RowLoop<SumRow> (*add)(DType dtype);
};

}  // namespace miniparallel::kernels::cpu

#endif

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

template <class T>
MP_INLINE T load_if(bool is_there, const T* array, std::int64_t i) {
  return is_there ? array[i] : T(0);
}
template <class T>
MP_INLINE void store_if(bool is_there, T* array, std::int64_t i, T value) {
  if (is_there) array[i] = value;
}

template <class T, unsigned present, class Formula, std::size_t... k>
void update_elements(const UpdateRow<Formula>& row, std::int64_t begin, std::int64_t end,
                     std::index_sequence<k...>) {
  const UpdateRule<Formula> rule = row.rule();  // a copy, so that no write to an array can change it
  if (rule.skip) return;
  T* p = out<T>(row.parameter);
  const T* gradient = in<T>(row.gradient);
  T* const states[] = {out<T>(row.state[k])...};
  MP_IVDEP
  for (std::int64_t i = begin; i < end; ++i) {
    T state[] = {load_if((present >> k & 1) != 0, states[k], i)...};
    rule.update(p[i], gradient[i], state[k]...);
    (store_if((present >> k & 1) != 0, states[k], i, state[k]), ...);
  }
}

/// `present`: a bit for each state that is there.
template <class T, unsigned present, class Formula>
void update_loop(const UpdateRow<Formula>& row, std::int64_t begin, std::int64_t end) {
  update_elements<T, present>(row, begin, end, std::make_index_sequence<Formula::states>());
}

template <class T, class Formula, unsigned... choice>
void update_by(const UpdateRow<Formula>& row, std::int64_t begin, std::int64_t end,
               std::integer_sequence<unsigned, choice...>) {
  constexpr unsigned required = (1u << Formula::states) - 1 - Formula::optional;
  static constexpr RowLoop<UpdateRow<Formula>> loops[] = {update_loop < T, choice | required, Formula > ...};
  unsigned present = 0;
  for (unsigned k = 0; k < Formula::states; ++k) present |= row.has(k) ? 1u << k : 0u;
  loops[present](row, begin, end);
}

template <class T, class Formula>
void update(const UpdateRow<Formula>& row, std::int64_t begin, std::int64_t end) {
  update_by<T>(row, begin, end, std::make_integer_sequence<unsigned, 1u << Formula::states>());
}

/// Elements whose noise is drawn at once.
constexpr std::int64_t kNoiseTile = 512;

template <bool has_largest>
void update_rounded(const UpdateRow<updates::RoundedAdam>& row, std::int64_t begin, std::int64_t end) {
  const UpdateRule<updates::RoundedAdam> rule = row.rule();
  if (rule.skip) return;
  BFloat16* p = out<BFloat16>(row.parameter);
  const BFloat16* gradient = in<BFloat16>(row.gradient);
  BFloat16* const mean = out<BFloat16>(row.state[0]);
  BFloat16* const squares = out<BFloat16>(row.state[1]);
  BFloat16* const largest = out<BFloat16>(row.state[2]);
  alignas(64) std::uint32_t noise[kNoiseTile];
  while (begin < end) {
    const std::int64_t block = (row.first + begin) / kShortsOfBlock;
    const std::int64_t skip = (row.first + begin) % kShortsOfBlock;
    const std::int64_t n = std::min(end - begin, kNoiseTile - skip);
    for (std::int64_t i = 0; i < skip + n; i += kShortsOfBlock) {
      const PhiloxBlock words = rule.formula.noise(block + i / kShortsOfBlock);
      for (int k = 0; k < kShortsOfBlock; ++k) noise[i + k] = random_short(words, k);
    }
    MP_IVDEP
    for (std::int64_t k = 0; k < n; ++k) {
      const std::int64_t i = begin + k;
      const std::uint32_t bits = noise[skip + k];
      float value = to_float(p[i]), m = to_float(mean[i]), v = to_float(squares[i]);
      float most = has_largest ? to_float(largest[i]) : 0.f;
      rule.update(value, to_float(gradient[i]), m, v, most);
      p[i] = to_bfloat16(value, bits);
      mean[i] = to_bfloat16(m, bits);
      squares[i] = to_bfloat16(v, bits);
      if (has_largest) largest[i] = to_bfloat16(most, bits);
    }
    begin += n;
  }
}
void rounded_adam(const UpdateRow<updates::RoundedAdam>& row, std::int64_t begin, std::int64_t end) {
  (row.has(2) ? update_rounded<true> : update_rounded<false>)(row, begin, end);
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
void add(const SumRow& row, std::int64_t begin, std::int64_t end) {
  T* sum = out<T>(row.sum);
  const T* addend = in<T>(row.addend);
  MP_IVDEP
  for (std::int64_t i = begin; i < end; ++i) sum[i] = sum_of_two(sum[i], addend[i]);
}
RowLoop<SumRow> add_loop(DType dtype) {
  return dtype == float32   ? add<float>
         : dtype == float64 ? add<double>
         : dtype == float16 ? add<Half>
                            : add<BFloat16>;
}

template <class T>
constexpr ClipLoops kClip{change<T, functors::ScaleGradient>,
                          change<T, functors::ClampGradient>,
                          {norm<T, NormKind::one>, norm<T, NormKind::two>, norm<T, NormKind::infinity>}};

}  // namespace

const OptimizerLoops& optimizer_loops() {
#define MP_LOOPS(name, Formula) .name = {update<float, updates::Formula>, update<double, updates::Formula>},
  static constexpr OptimizerLoops table{MP_UPDATES(MP_LOOPS).rounded_adam = rounded_adam,
                                        .clip = {kClip<float>, kClip<double>}, .add = add_loop};
#undef MP_LOOPS
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

#define MP_UPDATE(name, Formula)                                                      \
  void name(DType dtype, std::span<const UpdateRow<updates::Formula>> rows, Stream) { \
    for_each_element_range(rows, optimizer_loops().name[dtype]);                      \
  }
MP_UPDATES(MP_UPDATE)
#undef MP_UPDATE

void rounded_adam(DType, std::span<const UpdateRow<updates::RoundedAdam>> rows, Stream) {
  for_each_element_range(rows, optimizer_loops().rounded_adam);
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

void accumulate(std::span<const SumRow> rows, Stream) {
  for_each_element_range(rows, [](const SumRow& row, std::int64_t begin, std::int64_t end) {
    optimizer_loops().add(row.dtype)(row, begin, end);
  });
}

}  // namespace

const Optimizer& optimizer() {
#define MP_LAUNCHER_OF(name, Formula) .name = name,
  static constexpr Optimizer launchers{MP_UPDATES(MP_LAUNCHER_OF).rounded_adam = rounded_adam, .norm = norm,
                                       .clip_norm = clip_norm, .clip_value = clip_value,
                                       .accumulate = accumulate};
#undef MP_LAUNCHER_OF
  return launchers;
}

}  // namespace miniparallel::kernels::cpu
#endif
