#include "kernels/softmax.h"

#include "kernels/by_dtype.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/exponentials.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/turned_rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/softmax.cpp"
#include "kernels/cpu/targets.h"

#ifndef MP_SOFTMAX_TABLE
#define MP_SOFTMAX_TABLE
namespace miniparallel::kernels::cpu {
/// Softmax over `width` rows of n, one after another, or, with a stride above 1, over `width` neighbouring
/// columns of n elements `stride` apart.
struct SoftmaxLines {
  std::int64_t n, stride, width;
  bool log;
};
struct SoftmaxLoops {
  void (*forward)(const SoftmaxLines& lines, const void* x, void* y);
  void (*backward)(const SoftmaxLines& lines, const void* g, const void* y, void* dx);
};
}  // namespace miniparallel::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

template <class T>
void row_forward(std::int64_t n, bool log, const T* x, T* y) {
  const T maximum = row_max(x, n);
  if (log) {
    const T log_sum = math::log(static_cast<T>(sum_of_exponentials(x, n, maximum)));
    MP_IVDEP
    for (std::int64_t i = 0; i < n; ++i) y[i] = (x[i] - maximum) - log_sum;
  } else {
    const T factor = static_cast<T>(1 / exponentials(x, n, maximum, y));
    for (std::int64_t i = 0; i < n; ++i) y[i] *= factor;
  }
}

/// Columns, line by line of memory. Few columns without gaps between their lines are repeated: several lines
/// are taken as one, whose columns are copies of the first.
struct Columns {
  std::int64_t lines, stride, rest;  // rest: elements of a last, shorter line
  std::int64_t copies;

  Columns(std::int64_t n, std::int64_t between, std::int64_t width)
      : copies(between == width ? kColumnBlock / width : 1) {
    lines = n / copies;
    stride = between * copies;
    rest = n % copies * width;
  }

  /// f(offset, width) for each line.
  template <class Width, class F>
  MP_INLINE void for_each_line(Width width, const F& f) const {
    for (std::int64_t line = 0; line < lines; ++line) f(line * stride, width);
    if (rest > 0) f(lines * stride, rest);
  }
  /// Combines the values of each column's copies, and gives all the result.
  template <class A, class F>
  MP_INLINE void join(A* values, std::int64_t width, const F& combine) const {
    if (copies == 1) return;
    const std::int64_t columns = width / copies;
    for (std::int64_t i = columns; i < width; ++i)
      values[i % columns] = combine(values[i % columns], values[i]);
    for (std::int64_t i = columns; i < width; ++i) values[i] = values[i % columns];
  }
};

template <bool log, class T, class Width>
MP_INLINE void columns_forward(const Columns& columns, Width width, const T* x, T* y) {
  T maximum[kColumnBlock];
  for (std::int64_t c = 0; c < width; ++c) maximum[c] = MaxOf<T>::initial;
  columns.for_each_line(width,
                        [&](std::int64_t i, std::int64_t count) HWY_ATTR __attribute__((always_inline)) {
                          for (std::int64_t c = 0; c < count; ++c)
                            maximum[c] = MaxOf<T>::combine(maximum[c], x[i + c]);
                        });
  columns.join(maximum, width, MaxOf<T>::combine);
  double sum[kColumnBlock] = {};
  columns.for_each_line(width,
                        [&](std::int64_t i, std::int64_t count) HWY_ATTR __attribute__((always_inline)) {
                          T block[kColumnBlock];
                          T* const terms = log ? block : y + i;
                          MP_IVDEP
                          for (std::int64_t c = 0; c < count; ++c)
                            terms[c] = math::exp(x[i + c] - maximum[c]);
                          MP_IVDEP
                          for (std::int64_t c = 0; c < count; ++c) sum[c] += static_cast<double>(terms[c]);
                        });
  columns.join(sum, width, SumOf<double>::combine);
  T share[kColumnBlock];
  for (std::int64_t c = 0; c < width; ++c)
    share[c] = log ? math::log(static_cast<T>(sum[c])) : static_cast<T>(1 / sum[c]);
  columns.for_each_line(width,
                        [&](std::int64_t i, std::int64_t count) HWY_ATTR __attribute__((always_inline)) {
                          MP_IVDEP
                          for (std::int64_t c = 0; c < count; ++c)
                            y[i + c] = log ? (x[i + c] - maximum[c]) - share[c] : y[i + c] * share[c];
                        });
}

/// Calls f(width); in float32 the usual one is a constant, whose loops the compiler unrolls. (Loops of 16 and
/// less it would unroll whole, and then fail to vectorise.)
template <class T, class F>
MP_INLINE void with_width(std::int64_t width, const F& f) {
  if (std::is_same_v<T, float> && width == kColumnBlock)
    f(std::integral_constant<std::int64_t, kColumnBlock>());
  else
    f(width);
}

/// Calls f(log, columns, width) for columns of n elements `stride` apart.
template <class T, class F>
MP_INLINE void for_columns(const SoftmaxLines& lines, std::int64_t stride, const F& f) {
  const Columns columns(lines.n, stride, lines.width);
  with_width<T>(lines.width * columns.copies, [&](auto width) HWY_ATTR {
    lines.log ? f(std::true_type(), columns, width) : f(std::false_type(), columns, width);
  });
}

/// Whether the lines are rows so short that they are turned, as columns of a block.
MP_INLINE bool has_short_lines(const SoftmaxLines& lines) {
  return lines.stride == 1 && lines.n <= kTurnedLength;
}

template <class T>
void forward(const SoftmaxLines& lines, const void* from, void* to) {
  const T* x = static_cast<const T*>(from);
  T* y = static_cast<T*>(to);
  const std::int64_t n = lines.n;
  const bool is_short = has_short_lines(lines);
  if (lines.stride == 1 && !is_short) {
    for (std::int64_t r = 0; r < lines.width; ++r) row_forward(n, lines.log, x + r * n, y + r * n);
    return;
  }
  TurnedRows<T> turned;
  if (is_short) {
    turned.read(x, lines.width, n);
    x = y = turned[0];
  }
  for_columns<T>(lines, is_short ? kTurnedRows : lines.stride,
                 [&](auto log, const Columns& columns, auto width)
                     HWY_ATTR { columns_forward<log>(columns, width, x, y); });
  if (is_short) turned.write(static_cast<T*>(to), lines.width, n);
}

template <bool log, class T>
void row_backward(std::int64_t n, const T* g, const T* y, T* dx) {
  const T sum = static_cast<T>(log ? exact_sum_row(g, n) : dot_row(g, y, n));
  const functors::SoftmaxGradient gradient{log};
  MP_IVDEP
  for (std::int64_t i = 0; i < n; ++i) dx[i] = gradient(g[i], y[i], sum);
}

template <bool log, class T, class Width>
MP_INLINE void columns_backward(const Columns& columns, Width width, const T* g, const T* y, T* dx) {
  const functors::SoftmaxGradient gradient{log};
  double sum[kColumnBlock] = {};
  columns.for_each_line(width,
                        [&](std::int64_t i, std::int64_t count) HWY_ATTR __attribute__((always_inline)) {
                          MP_IVDEP
                          for (std::int64_t c = 0; c < count; ++c)
                            sum[c] += gradient.term(g[i + c], y[i + c]);
                        });
  columns.join(sum, width, SumOf<double>::combine);
  T total[kColumnBlock];
  for (std::int64_t c = 0; c < width; ++c) total[c] = static_cast<T>(sum[c]);
  columns.for_each_line(width,
                        [&](std::int64_t i, std::int64_t count) HWY_ATTR __attribute__((always_inline)) {
                          MP_IVDEP
                          for (std::int64_t c = 0; c < count; ++c)
                            dx[i + c] = gradient(g[i + c], y[i + c], total[c]);
                        });
}

template <class T>
void backward(const SoftmaxLines& lines, const void* gradient, const void* output, void* result) {
  const T *g = static_cast<const T*>(gradient), *y = static_cast<const T*>(output);
  T* dx = static_cast<T*>(result);
  const std::int64_t n = lines.n;
  const bool is_short = has_short_lines(lines);
  if (lines.stride == 1 && !is_short) {
    const auto row = lines.log ? row_backward<true, T> : row_backward<false, T>;
    for (std::int64_t r = 0; r < lines.width; ++r) row(n, g + r * n, y + r * n, dx + r * n);
    return;
  }
  TurnedRows<T> turned_g, turned_y;
  if (is_short) {
    turned_g.read(g, lines.width, n);
    turned_y.read(y, lines.width, n);
    g = dx = turned_g[0];
    y = turned_y[0];
  }
  for_columns<T>(lines, is_short ? kTurnedRows : lines.stride,
                 [&](auto log, const Columns& columns, auto width)
                     HWY_ATTR { columns_backward<log>(columns, width, g, y, dx); });
  if (is_short) turned_g.write(static_cast<T*>(result), lines.width, n);
}

}  // namespace

const ByDType<SoftmaxLoops>& softmax_loops() {
  static constexpr ByDType<SoftmaxLoops> table{{forward<float>, backward<float>},
                                               {forward<double>, backward<double>}};
  return table;
}

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {
namespace {

MP_DISPATCH(ByDType<SoftmaxLoops>, softmax_loops)

constexpr std::int64_t kGrain = 8192;  // elements per thread at least

/// Calls run(lines, byte offset) for blocks of columns, or of rows where they are short.
template <class Run>
void for_each_block(DType dtype, const SoftmaxArgs& args, Run run) {
  if (args.n == 0 || args.inner == 0) return;
  const bool rows = args.inner == 1;
  const std::int64_t outer = rows ? 1 : args.outer, across = rows ? args.outer : args.inner;
  const std::int64_t most = !rows ? kColumnBlock : args.n <= kTurnedLength ? kTurnedRows : 1;
  const std::int64_t blocks = (across + most - 1) / most;
  const std::int64_t elements = args.n * std::min(across, most);
  parallel_for(outer * blocks, std::max<std::int64_t>(kGrain / std::max<std::int64_t>(elements, 1), 1),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   const std::int64_t line = i % blocks * most;
                   const std::int64_t offset = i / blocks * args.n * across + line * (rows ? args.n : 1);
                   run(SoftmaxLines{args.n, args.inner, std::min(most, across - line), args.log},
                       offset * static_cast<std::int64_t>(size_of(dtype)));
                 }
               });
}

void forward(DType dtype, const SoftmaxArgs& args, const void* x, void* y, Stream) {
  const SoftmaxLoops& loops = softmax_loops()[dtype];
  for_each_block(dtype, args, [&](const SoftmaxLines& lines, std::int64_t at) {
    loops.forward(lines, static_cast<const std::byte*>(x) + at, static_cast<std::byte*>(y) + at);
  });
}

void backward(DType dtype, const SoftmaxArgs& args, const void* g, const void* y, void* dx, Stream) {
  const SoftmaxLoops& loops = softmax_loops()[dtype];
  for_each_block(dtype, args, [&](const SoftmaxLines& lines, std::int64_t at) {
    loops.backward(lines, static_cast<const std::byte*>(g) + at, static_cast<const std::byte*>(y) + at,
                   static_cast<std::byte*>(dx) + at);
  });
}

}  // namespace

const Softmax& softmax() {
  static constexpr Softmax launchers{.forward = forward, .backward = backward};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu
#endif
