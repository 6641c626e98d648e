#include "kernels/scan.h"

#include "kernels/by_dtype.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>
#include <utility>

namespace miniparallel::kernels::cpu {
namespace {

constexpr std::int64_t kGrain = 16384;  // elements per thread at least
constexpr std::int64_t kColumns = 64;   // neighbouring lines that are walked together
constexpr int kLines = 4;  // the same of others: of more, arrays of 2^k would share a cache's set

/// What becomes of the value before an element: without factors a sum, without terms a product, whose steps
/// take half as long.
template <class T, bool multiplies, bool adds>
struct Step {
  using Value = typename ScanStep<T>::Value;
  const T *factor, *term;

  Value operator()(Value last, std::int64_t at) const {
    auto value = math::modular(last);
    if constexpr (multiplies) value = math::modular(static_cast<Value>(factor[at])) * value;
    if constexpr (adds) value = value + math::modular(static_cast<Value>(term[at]));
    return static_cast<Value>(value);
  }
};

/// Columns [begin, end) of one of the outer blocks; last: what precedes them. Calls put(element, value
/// before, value) for each element.
template <class Step, class Put>
void walk_columns(const ScanArgs& args, const Step& step, bool reverse, std::int64_t outer,
                  std::int64_t begin, std::int64_t end, typename Step::Value* last, const Put& put) {
  for (std::int64_t i = 0; i < args.n; ++i) {
    const std::int64_t row = (outer * args.n + (reverse ? args.n - 1 - i : i)) * args.inner;
    for (std::int64_t c = begin; c < end; ++c) {
      const auto before = std::exchange(last[c - begin], step(last[c - begin], row + c));
      put(row + c, before, last[c - begin]);
    }
  }
}

/// Lines of neighbouring elements, from `line` on, one for each of l; their last elements stay in registers.
template <class Step, class Put, int... l>
void walk_lines(std::integer_sequence<int, l...>, const ScanArgs& args, const Step& step, bool reverse,
                std::int64_t line, const typename Step::Value* first, const Put& put) {
  typename Step::Value last[] = {first[l]...}, before[sizeof...(l)];
  for (std::int64_t i = 0; i < args.n; ++i) {
    const std::int64_t at = line * args.n + (reverse ? args.n - 1 - i : i);
    ((before[l] = std::exchange(last[l], step(last[l], at + l * args.n))), ...);
    (put(at + l * args.n, before[l], last[l]), ...);
  }
}

/// Calls f(lines, first) for lines [begin, end), several at a time, as an integer_sequence: one by one each
/// step would wait for the one before.
template <class F>
void for_lines(std::int64_t begin, std::int64_t end, const F& f) {
  for (; begin + kLines <= end; begin += kLines) f(std::make_integer_sequence<int, kLines>(), begin);
  for (; begin < end; ++begin) f(std::make_integer_sequence<int, 1>(), begin);
}

/// Calls lines(begin, end) for parts of the lines of neighbouring elements, or columns(outer, begin, end) for
/// those of others.
template <class Lines, class Columns>
void for_parts(const ScanArgs& args, const Lines& lines, const Columns& columns) {
  if (args.inner == 1)
    return parallel_for(args.outer, std::max<std::int64_t>(kGrain / std::max<std::int64_t>(args.n, 1), 1),
                        lines);
  const std::int64_t blocks = (args.inner + kColumns - 1) / kColumns;
  const std::int64_t work = std::max<std::int64_t>(args.n * std::min(args.inner, kColumns), 1);
  parallel_for(args.outer * blocks, std::max<std::int64_t>(kGrain / work, 1),
               [&](std::int64_t first, std::int64_t last) {
                 for (std::int64_t i = first; i < last; ++i) {
                   const std::int64_t begin = i % blocks * kColumns;
                   columns(i / blocks, begin, std::min(args.inner, begin + kColumns));
                 }
               });
}

template <class T, bool multiplies, bool adds>
void recurrence_of(const ScanArgs& args, T* y) {
  using Value = typename ScanStep<T>::Value;
  const Step<T, multiplies, adds> step{static_cast<const T*>(args.factor), static_cast<const T*>(args.term)};
  const auto put = [y](std::int64_t at, Value, Value value) { y[at] = static_cast<T>(value); };
  Value initial[kColumns];
  std::fill_n(initial, kColumns, static_cast<Value>(args.initial));
  for_parts(
      args,
      [&](std::int64_t begin, std::int64_t end) {
        for_lines(begin, end, [&](auto lines, std::int64_t line) {
          walk_lines(lines, args, step, args.reverse, line, initial, put);
        });
      },
      [&](std::int64_t outer, std::int64_t begin, std::int64_t end) {
        Value last[kColumns];
        std::copy_n(initial, kColumns, last);
        walk_columns(args, step, args.reverse, outer, begin, end, last, put);
      });
}

template <class T>
void recurrence_as(const ScanArgs& args, void* y) {
  (args.term == nullptr     ? recurrence_of<T, true, false>
   : args.factor == nullptr ? recurrence_of<T, false, true>
                            : recurrence_of<T, true, true>)(args, static_cast<T*>(y));
}

/// Forwards the products of those before, from 1 on; backwards, from g on, times those of the ones behind.
template <class T>
void products_of_others_as(const ScanArgs& args, const T* g, T* dx) {
  using Value = typename ScanStep<T>::Value;
  const Step<T, true, false> step{static_cast<const T*>(args.factor), nullptr};
  const auto put = [dx](std::int64_t at, Value before, Value) { dx[at] = static_cast<T>(before); };
  const auto multiply = [dx](std::int64_t at, Value before, Value) {
    dx[at] = static_cast<T>(static_cast<Value>(dx[at]) * before);
  };
  for_parts(
      args,
      [&](std::int64_t begin, std::int64_t end) {
        for_lines(begin, end, [&](auto lines, std::int64_t line) {
          const Value ones[kLines] = {1, 1, 1, 1};
          Value gradients[kLines];
          for (int l = 0; l < static_cast<int>(lines.size()); ++l)
            gradients[l] = static_cast<Value>(g[line + l]);
          walk_lines(lines, args, step, false, line, ones, put);
          walk_lines(lines, args, step, true, line, gradients, multiply);
        });
      },
      [&](std::int64_t outer, std::int64_t begin, std::int64_t end) {
        Value last[kColumns];
        std::fill_n(last, kColumns, Value(1));
        walk_columns(args, step, false, outer, begin, end, last, put);
        std::copy(g + outer * args.inner + begin, g + outer * args.inner + end, last);
        walk_columns(args, step, true, outer, begin, end, last, multiply);
      });
}

void recurrence(DType dtype, const ScanArgs& args, void* y, Stream) {
  dtype == float32   ? recurrence_as<float>(args, y)
  : dtype == float64 ? recurrence_as<double>(args, y)
                     : recurrence_as<std::int64_t>(args, y);
}

void products_of_others(DType dtype, const ScanArgs& args, const void* g, void* dx, Stream) {
  with_type(dtype,
            [&]<class T>() { products_of_others_as(args, static_cast<const T*>(g), static_cast<T*>(dx)); });
}

}  // namespace

const Scan& scan() {
  static constexpr Scan launchers{.recurrence = recurrence, .products_of_others = products_of_others};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu
