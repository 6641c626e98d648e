#include "kernels/reduce.h"

#include "kernels/cpu/backend.h"
#include "kernels/cpu/fold.h"
#include "kernels/cpu/lanes.h"

#include <algorithm>
#include <array>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/reduce.cpp"
#include "kernels/cpu/targets.h"

#ifndef MP_REDUCE_TABLE
#define MP_REDUCE_TABLE
namespace miniparallel::kernels::cpu {
/// By DType; null where a reduction has no such dtype.
using FoldRow = std::array<FoldLoops, 8>;
struct ReduceLoops {
  FoldRow sum, sum_squares, amax, amin, argmax;
};
}  // namespace miniparallel::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

template <class F>
typename F::Input center_of(const ReduceArgs& args, std::int64_t output) {
  using T = typename F::Input;
  return args.center ? static_cast<const T*>(args.center)[output] : T{};
}

/// One output over elements [begin, end) of the reduced dimensions, run by run of its innermost dimension.
template <class F>
typename F::Accumulator row(const ReduceArgs& args, std::int64_t output, std::int64_t begin,
                            std::int64_t end) {
  using T = typename F::Input;
  const T* x = static_cast<const T*>(args.in) + offset_of(args.kept, output);
  const T center = center_of<F>(args, output);
  const std::int64_t length = inner_size(args.reduced), stride = inner_stride(args.reduced);
  typename F::Accumulator total = F::initial;
  while (begin < end) {
    const std::int64_t n = std::min(end - begin, length - begin % length);
    total = F::combine(total, fold_row<F>(x + offset_of(args.reduced, begin), stride, n, center));
    begin += n;
  }
  return total;
}

template <class F>
void rows(const ReduceArgs& args, std::int64_t first, std::int64_t last, std::int64_t begin, std::int64_t end,
          void* accumulators) {
  auto* out = static_cast<typename F::Accumulator*>(accumulators);
  for (std::int64_t o = first; o < last; ++o) out[o - first] = row<F>(args, o, begin, end);
}

/// Adds four rows to the accumulators; the rows' own order is fixed.
template <class F>
void add_rows(typename F::Accumulator* total, const typename F::Input* const* x, std::int64_t n,
              const typename F::Input* center) {
  using T = typename F::Input;
  const T *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];
  MP_IVDEP
  for (std::int64_t c = 0; c < n; ++c) {
    const T m = center ? center[c] : T{};
    const auto low = F::combine(F::load(x0[c], m), F::load(x1[c], m));
    const auto high = F::combine(F::load(x2[c], m), F::load(x3[c], m));
    total[c] = F::combine(total[c], F::combine(low, high));
  }
}

template <class F>
void columns(const ReduceArgs& args, std::int64_t first, std::int64_t last, std::int64_t begin,
             std::int64_t end, void* accumulators) {
  using T = typename F::Input;
  auto* total = static_cast<typename F::Accumulator*>(accumulators);
  const std::int64_t n = last - first;
  for (std::int64_t c = 0; c < n; ++c) total[c] = F::initial;
  const T* x = static_cast<const T*>(args.in) + offset_of(args.kept, first);
  const T* center = args.center ? static_cast<const T*>(args.center) + first : nullptr;
  std::int64_t r = begin;
  for (; r + 4 <= end; r += 4) {
    const T* four[4];
    for (int i = 0; i < 4; ++i) four[i] = x + offset_of(args.reduced, r + i);
    add_rows<F>(total, four, n, center);
  }
  for (; r < end; ++r) {
    const T* one = x + offset_of(args.reduced, r);
    for (std::int64_t c = 0; c < n; ++c)
      total[c] = F::combine(total[c], F::load(one[c], center ? center[c] : T{}));
  }
}

template <class F>
void merge(void* into, const void* from, std::int64_t n) {
  using A = typename F::Accumulator;
  A* a = static_cast<A*>(into);
  const A* b = static_cast<const A*>(from);
  for (std::int64_t i = 0; i < n; ++i) a[i] = F::combine(a[i], b[i]);
}

template <class F>
void store(const ReduceArgs& args, std::int64_t first, std::int64_t last, const void* accumulators) {
  using T = typename F::Input;
  using A = typename F::Accumulator;
  using Out = std::conditional_t<std::is_floating_point_v<T>, T, A>;
  const A* from = static_cast<const A*>(accumulators);
  Out* out = static_cast<Out*>(args.out) + first;
  const std::int64_t n = last - first;
  if constexpr (std::is_floating_point_v<T>) {
    const A scale = static_cast<A>(args.scale);
    if (args.accumulate)
      for (std::int64_t i = 0; i < n; ++i) out[i] += static_cast<Out>(from[i] * scale);
    else
      for (std::int64_t i = 0; i < n; ++i) out[i] = static_cast<Out>(from[i] * scale);
  } else {
    for (std::int64_t i = 0; i < n; ++i) out[i] = from[i];
  }
}

// --- argmax: the accumulator is where the best element is; the element itself is read again ---------------

template <class T>
struct Best {
  T value;
  std::int64_t index;  // below 0: none yet
};

template <class T>
bool better(T candidate, T best) {
  return candidate > best || (candidate != candidate && best == best);
}

template <class T>
void argmax_rows(const ReduceArgs& args, std::int64_t first, std::int64_t last, std::int64_t begin,
                 std::int64_t end, void* accumulators) {
  auto* out = static_cast<Best<T>*>(accumulators);
  const std::int64_t length = inner_size(args.reduced), stride = inner_stride(args.reduced);
  for (std::int64_t o = first; o < last; ++o) {
    const T* x = static_cast<const T*>(args.in) + offset_of(args.kept, o);
    Best<T> best{x[offset_of(args.reduced, begin)], begin};
    for (std::int64_t r = begin; r < end;) {
      const T* run = x + offset_of(args.reduced, r);
      const std::int64_t n = std::min(end - r, length - r % length);
      for (std::int64_t i = 0; i < n; ++i)
        if (better(run[i * stride], best.value)) best = {run[i * stride], r + i};
      r += n;
    }
    out[o - first] = best;
  }
}

template <class T>
void argmax_merge(void* into, const void* from, std::int64_t n) {
  auto* a = static_cast<Best<T>*>(into);
  const auto* b = static_cast<const Best<T>*>(from);
  for (std::int64_t i = 0; i < n; ++i)
    if (better(b[i].value, a[i].value)) a[i] = b[i];
}

template <class T>
void argmax_store(const ReduceArgs& args, std::int64_t first, std::int64_t last, const void* accumulators) {
  const auto* from = static_cast<const Best<T>*>(accumulators);
  for (std::int64_t o = first; o < last; ++o) static_cast<std::int64_t*>(args.out)[o] = from[o - first].index;
}

template <class F>
constexpr FoldLoops fold_loops{sizeof(typename F::Accumulator), rows<F>, columns<F>, merge<F>, store<F>};
template <class T>
constexpr FoldLoops argmax_loops{sizeof(Best<T>), argmax_rows<T>, nullptr, argmax_merge<T>, argmax_store<T>};

template <template <class> class F>
constexpr FoldRow every_dtype{fold_loops<F<float>>,        fold_loops<F<double>>,
                              fold_loops<F<std::int64_t>>, fold_loops<F<std::int32_t>>,
                              fold_loops<F<std::uint8_t>>, fold_loops<F<bool>>};

}  // namespace

const ReduceLoops& reduce_loops() {
  static constexpr ReduceLoops table{
      .sum = every_dtype<SumOf>,
      .sum_squares = {fold_loops<SumOfSquares<float>>, fold_loops<SumOfSquares<double>>},
      .amax = every_dtype<MaxOf>,
      .amin = every_dtype<MinOf>,
      .argmax = {argmax_loops<float>, argmax_loops<double>, argmax_loops<std::int64_t>,
                 argmax_loops<std::int32_t>, argmax_loops<std::uint8_t>, argmax_loops<bool>},
  };
  return table;
}

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {
namespace {

MP_DISPATCH(ReduceLoops, reduce_loops)

template <FoldRow ReduceLoops::* row>
void run(DType dtype, const ReduceArgs& args, Stream) {
  fold((reduce_loops().*row)[static_cast<std::size_t>(dtype)], args);
}

}  // namespace

const Reduce& reduce() {
  static constexpr Reduce launchers{.sum = run<&ReduceLoops::sum>,
                                    .sum_squares = run<&ReduceLoops::sum_squares>,
                                    .amax = run<&ReduceLoops::amax>,
                                    .amin = run<&ReduceLoops::amin>,
                                    .argmax = run<&ReduceLoops::argmax>};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu
#endif
