#include "kernels/reduce.h"

#include "kernels/cpu/backend.h"
#include "kernels/cpu/fold.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/short_length.h"

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
  FoldRow sum, sum_squares, product, amax, amin, argmax;
};
}  // namespace miniparallel::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

/// Elements of a row, and columns, that are worth code of their own; for float32 and what is often asked for,
/// as compiling takes its time.
template <class T>
constexpr int kFew = std::is_same_v<T, float> && HWY_TARGET != HWY_SCALAR ? 4 : 0;
template <class F>
constexpr int kFewOf = kFew<typename F::Input>;
template <class T>
constexpr int kFewOf<ProductOf<T>> = 0;

/// fold_row, compiled once.
template <class F>
HWY_NOINLINE typename F::Accumulator run(const typename F::Input* x, std::int64_t stride, std::int64_t n,
                                         typename F::Input center) {
  return fold_row<F>(packed_row(x, stride, n), n, center);
}

/// `count` rows of n elements, at most four, one after the other.
template <class F, int n>
MP_INLINE void few_of_each(const typename F::Input* x, const typename F::Input* center, std::int64_t count,
                           typename F::Accumulator* out) {
  using T = typename F::Input;
  using A = typename F::Accumulator;
  MP_IVDEP
  for (std::int64_t r = 0; r < count; ++r) {
    const T middle = center ? center[r] : T{};
    const auto at = [&](int l) HWY_ATTR { return F::combine(F::initial, F::load(x[r * n + l], middle)); };
    A first = at(0), second = n > 1 ? at(1) : F::initial;
    if (n > 2) first = F::combine(first, at(2));
    if (n > 3) second = F::combine(second, at(3));
    out[r] = n > 1 ? F::combine(first, second) : first;
  }
}

/// `count` rows of n <= kLanes elements, each in the order of fold_lanes: the lanes of many rows next to one
/// another, so that vectors go over rows.
template <class F>
HWY_NOINLINE void short_rows(const typename F::Input* x, std::int64_t step, std::int64_t stride,
                             std::int64_t n, const typename F::Input* center, std::int64_t count,
                             typename F::Accumulator* out) {
  using T = typename F::Input;
  using A = typename F::Accumulator;
  constexpr std::int64_t block = 64;
  alignas(64) A lanes[kLanes][block];
  const bool few = stride == 1 && step == n && with_short_length<kFewOf<F>>(n, [&]<int length>() HWY_ATTR {
                     few_of_each<F, length>(x, center, count, out);
                   });
  if (few) return;
  for (std::int64_t first = 0; first < count; first += block) {
    const std::int64_t rows = std::min(block, count - first);
    const T* const at = x + first * step;
    const T* const middle = center ? center + first : nullptr;
    for (std::int64_t l = 0; l < n; ++l)
      for (std::int64_t r = 0; r < rows; ++r)
        lanes[l][r] = F::combine(F::initial, F::load(at[r * step + l * stride], middle ? middle[r] : T{}));
    for (int width = kLanes / 2; width > 0; width /= 2)
      for (int l = 0; l < width && l + width < n; ++l)
        for (std::int64_t r = 0; r < rows; ++r) lanes[l][r] = F::combine(lanes[l][r], lanes[l + width][r]);
    std::copy_n(lanes[0], rows, out + first);
  }
}

/// What `rows` does where elements [begin, end) of each row are one run: the offsets are computed once for
/// many of them.
template <class F>
void even_rows(const ReduceArgs& args, std::int64_t first, std::int64_t last, std::int64_t begin,
               std::int64_t end, typename F::Accumulator* out) {
  using T = typename F::Input;
  const T* const in = static_cast<const T*>(args.in) + offset_of(args.reduced, begin);
  const std::int64_t stride = inner_stride(args.reduced), step = inner_stride(args.kept);
  const std::int64_t length = inner_size(args.kept), n = end - begin;
  for (std::int64_t count; first < last; first += count, out += count) {
    count = std::min(last - first, length - first % length);
    const T* const x = in + offset_of(args.kept, first);
    const T* const center = args.center ? static_cast<const T*>(args.center) + first : nullptr;
    if (n > 0 && n <= kLanes) {
      short_rows<F>(x, step, stride, n, center, count, out);
      continue;
    }
    for (std::int64_t i = 0; i < count; ++i)
      out[i] = run<F>(x + i * step, stride, n, center ? center[i] : T{});
  }
}

template <class F>
void rows(const ReduceArgs& args, std::int64_t first, std::int64_t last, std::int64_t begin, std::int64_t end,
          void* accumulators) {
  using A = typename F::Accumulator;
  A* out = static_cast<A*>(accumulators);
  if (args.reduced.rank <= 1) return even_rows<F>(args, first, last, begin, end, out);
  const std::int64_t length = inner_size(args.reduced), count = last - first;
  A of_run[kColumns];
  std::fill_n(out, count, F::initial);
  for (std::int64_t at = begin, n; at < end; at += n) {  // run by run of the innermost dimension
    n = std::min(end - at, length - at % length);
    even_rows<F>(args, first, last, at, at + n, of_run);
    for (std::int64_t i = 0; i < count; ++i) out[i] = F::combine(out[i], of_run[i]);
  }
}

/// Adds four rows of `width` columns to the accumulators; the rows' own order is fixed.
template <class F>
MP_INLINE void add_rows(typename F::Accumulator* total, const typename F::Input* const* x, std::int64_t width,
                        const typename F::Input* center) {
  using T = typename F::Input;
  const T *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];
  MP_IVDEP
  for (std::int64_t c = 0; c < width; ++c) {
    const T m = center ? center[c] : T{};
    total[c] = F::combine(total[c], F::load_four(x0[c], x1[c], x2[c], x3[c], m));
  }
}

/// What `columns` does; inlined where the width is a constant.
template <class F>
MP_INLINE void columns_of(const ReduceArgs& args, std::int64_t first, std::int64_t width, std::int64_t begin,
                          std::int64_t end, typename F::Accumulator* total) {
  using T = typename F::Input;
  for (std::int64_t c = 0; c < width; ++c) total[c] = F::initial;
  const T* x = static_cast<const T*>(args.in) + offset_of(args.kept, first);
  const T* center = args.center ? static_cast<const T*>(args.center) + first : nullptr;
  const bool even = args.reduced.rank <= 1;
  const std::int64_t stride = inner_stride(args.reduced);
  const auto row = [&](std::int64_t r)
                       HWY_ATTR { return x + (even ? r * stride : offset_of(args.reduced, r)); };
  std::int64_t r = begin;
  for (; r + 4 <= end; r += 4) {
    const T* const four[4] = {row(r), row(r + 1), row(r + 2), row(r + 3)};
    add_rows<F>(total, four, width, center);
  }
  for (; r < end; ++r) {
    const T* one = row(r);
    for (std::int64_t c = 0; c < width; ++c)
      total[c] = F::combine(total[c], F::load(one[c], center ? center[c] : T{}));
  }
}

template <class F>
void columns(const ReduceArgs& args, std::int64_t first, std::int64_t last, std::int64_t begin,
             std::int64_t end, void* accumulators) {
  using A = typename F::Accumulator;
  auto* total = static_cast<A*>(accumulators);
  const bool few = with_short_length<kFewOf<F>>(last - first, [&]<int width>() HWY_ATTR {
    A sums[width];
    columns_of<F>(args, first, width, begin, end, sums);
    std::copy_n(sums, width, total);
  });
  if (!few) columns_of<F>(args, first, last - first, begin, end, total);
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
MP_INLINE bool better(T candidate, T best) {
  return candidate > best || (candidate != candidate && best == best);
}

/// The best of n elements `stride` apart, which are elements `begin` and on of a row.
template <class T>
MP_INLINE Best<T> best_of(const T* x, std::int64_t stride, std::int64_t n, std::int64_t begin, Best<T> best) {
  for (std::int64_t i = 0; i < n; ++i)
    if (better(x[i * stride], best.value)) best = {x[i * stride], begin + i};
  return best;
}

template <class T>
void argmax_rows(const ReduceArgs& args, std::int64_t first, std::int64_t last, std::int64_t begin,
                 std::int64_t end, void* accumulators) {
  auto* out = static_cast<Best<T>*>(accumulators);
  const std::int64_t length = inner_size(args.reduced), stride = inner_stride(args.reduced);
  const T* const in = static_cast<const T*>(args.in);
  const T* const start = in + offset_of(args.reduced, begin);
  if (args.reduced.rank <= 1) {
    const bool is_short = with_short_length<kFew<T>>(end - begin, [&]<int n>() HWY_ATTR {
      for (std::int64_t o = first; o < last; ++o) {
        const T* x = start + offset_of(args.kept, o);
        out[o - first] = best_of<T>(x, stride, n, begin, {*x, begin});
      }
    });
    if (is_short) return;
  }
  for (std::int64_t o = first; o < last; ++o) {
    const std::int64_t kept = offset_of(args.kept, o);
    Best<T> best{start[kept], begin};
    for (std::int64_t r = begin; r < end;) {
      const std::int64_t n = std::min(end - r, length - r % length);
      best = best_of<T>(in + kept + offset_of(args.reduced, r), stride, n, r, best);
      r += n;
    }
    out[o - first] = best;
  }
}

/// What `argmax_columns` does; the best are in registers where the width is a constant.
template <class T>
MP_INLINE void best_of_columns(const ReduceArgs& args, std::int64_t first, std::int64_t width,
                               std::int64_t begin, std::int64_t end, Best<T>* best) {
  const T* const in = static_cast<const T*>(args.in) + offset_of(args.kept, first);
  const bool even = args.reduced.rank <= 1;
  const std::int64_t stride = inner_stride(args.reduced);
  const auto row = [&](std::int64_t r)
                       HWY_ATTR { return in + (even ? r * stride : offset_of(args.reduced, r)); };
  const T* const top = row(begin);
  for (std::int64_t c = 0; c < width; ++c) best[c] = {top[c], begin};
  for (std::int64_t r = begin + 1; r < end; ++r) {
    const T* const x = row(r);
    for (std::int64_t c = 0; c < width; ++c)
      if (better(x[c], best[c].value)) best[c] = {x[c], r};
  }
}

template <class T>
void argmax_columns(const ReduceArgs& args, std::int64_t first, std::int64_t last, std::int64_t begin,
                    std::int64_t end, void* accumulators) {
  auto* out = static_cast<Best<T>*>(accumulators);
  const bool few = with_short_length<kFew<T>>(last - first, [&]<int width>() HWY_ATTR {
    Best<T> best[width];
    best_of_columns<T>(args, first, width, begin, end, best);
    std::copy_n(best, width, out);
  });
  if (!few) best_of_columns<T>(args, first, last - first, begin, end, out);
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
constexpr FoldLoops argmax_loops{sizeof(Best<T>), argmax_rows<T>, argmax_columns<T>, argmax_merge<T>,
                                 argmax_store<T>};

template <template <class> class F>
constexpr FoldRow every_dtype{fold_loops<F<float>>,        fold_loops<F<double>>,
                              fold_loops<F<std::int64_t>>, fold_loops<F<std::int32_t>>,
                              fold_loops<F<std::uint8_t>>, fold_loops<F<bool>>};

}  // namespace

const ReduceLoops& reduce_loops() {
  static constexpr ReduceLoops table{
      .sum = every_dtype<SumOf>,
      .sum_squares = {fold_loops<SumOfSquares<float>>, fold_loops<SumOfSquares<double>>},
      .product = {fold_loops<ProductOf<float>>, fold_loops<ProductOf<double>>,
                  fold_loops<ProductOf<std::int64_t>>},
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
                                    .product = run<&ReduceLoops::product>,
                                    .amax = run<&ReduceLoops::amax>,
                                    .amin = run<&ReduceLoops::amin>,
                                    .argmax = run<&ReduceLoops::argmax>};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu
#endif
