#include "kernels/scan.h"

#include "kernels/cpu/backend.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>
#include <utility>

namespace miniparallel::kernels::cpu {
namespace {

constexpr std::int64_t kGrain = 16384;  // elements per thread at least
constexpr std::int64_t kColumns = 64;   // neighbouring lines that are walked together
constexpr int kLines = 4;  // the same of others: of more, arrays of 2^k would share a cache's set

/// Columns [begin, end) of one of the outer blocks.
template <class T>
void scan_columns(const ScanArgs& args, std::int64_t outer, std::int64_t begin, std::int64_t end, T* y) {
  typename ScanStep<T>::Value last[kColumns];
  std::fill_n(last, end - begin, static_cast<typename ScanStep<T>::Value>(args.initial));
  for (std::int64_t i = 0; i < args.n; ++i) {
    const std::int64_t row = (outer * args.n + (args.reverse ? args.n - 1 - i : i)) * args.inner;
    for (std::int64_t c = begin; c < end; ++c) {
      const auto step =
          ScanStep<T>::load(static_cast<const T*>(args.factor), static_cast<const T*>(args.term), row + c);
      last[c - begin] = step(last[c - begin]);
      y[row + c] = static_cast<T>(last[c - begin]);
    }
  }
}

/// Lines of neighbouring elements, from `line` on, one for each of l; their last elements stay in registers.
template <class T, int... l>
void scan_lines_of(std::integer_sequence<int, l...>, const ScanArgs& args, std::int64_t line, T* y) {
  const auto *factor = static_cast<const T*>(args.factor), *term = static_cast<const T*>(args.term);
  typename ScanStep<T>::Value last[] = {
      (static_cast<void>(l), static_cast<typename ScanStep<T>::Value>(args.initial))...};
  for (std::int64_t i = 0; i < args.n; ++i) {
    const std::int64_t first = line * args.n + (args.reverse ? args.n - 1 - i : i);
    ((last[l] = ScanStep<T>::load(factor, term, first + l * args.n)(last[l])), ...);
    ((y[first + l * args.n] = static_cast<T>(last[l])), ...);
  }
}

/// Lines [begin, end), several at a time: one by one each step would wait for the one before.
template <class T>
void scan_lines(const ScanArgs& args, std::int64_t begin, std::int64_t end, T* y) {
  for (; begin + kLines <= end; begin += kLines)
    scan_lines_of(std::make_integer_sequence<int, kLines>(), args, begin, y);
  for (; begin < end; ++begin) scan_lines_of(std::make_integer_sequence<int, 1>(), args, begin, y);
}

template <class T>
void recurrence_as(const ScanArgs& args, void* y) {
  if (args.inner == 1)
    return parallel_for(
        args.outer, std::max<std::int64_t>(kGrain / std::max<std::int64_t>(args.n, 1), 1),
        [&](std::int64_t begin, std::int64_t end) { scan_lines(args, begin, end, static_cast<T*>(y)); });
  const std::int64_t blocks = (args.inner + kColumns - 1) / kColumns;
  const std::int64_t work = std::max<std::int64_t>(args.n * std::min(args.inner, kColumns), 1);
  parallel_for(args.outer * blocks, std::max<std::int64_t>(kGrain / work, 1),
               [&](std::int64_t first, std::int64_t last) {
                 for (std::int64_t i = first; i < last; ++i) {
                   const std::int64_t begin = i % blocks * kColumns;
                   scan_columns(args, i / blocks, begin, std::min(args.inner, begin + kColumns),
                                static_cast<T*>(y));
                 }
               });
}

void recurrence(DType dtype, const ScanArgs& args, void* y, Stream) {
  dtype == float32   ? recurrence_as<float>(args, y)
  : dtype == float64 ? recurrence_as<double>(args, y)
                     : recurrence_as<std::int64_t>(args, y);
}

}  // namespace

const Scan& scan() {
  static constexpr Scan launchers{.recurrence = recurrence};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu
