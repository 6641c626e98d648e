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

template <class T>
MP_INLINE void columns_forward(std::int64_t n, std::int64_t stride, std::int64_t width, bool log, const T* x,
                               T* y) {
  T maximum[kColumnBlock];
  if (log) {
    T log_sum[kColumnBlock];
    column_statistics(x, n, stride, width, maximum, log_sum);
    for (std::int64_t i = 0; i < n * stride; i += stride) {
      MP_IVDEP
      for (std::int64_t c = 0; c < width; ++c) y[i + c] = (x[i + c] - maximum[c]) - log_sum[c];
    }
    return;
  }
  double sum[kColumnBlock] = {};
  column_maxima(x, n, stride, width, maximum);
  for (std::int64_t i = 0; i < n * stride; i += stride) {
    MP_IVDEP
    for (std::int64_t c = 0; c < width; ++c) y[i + c] = math::exp(x[i + c] - maximum[c]);
    MP_IVDEP
    for (std::int64_t c = 0; c < width; ++c) sum[c] += static_cast<double>(y[i + c]);
  }
  T factor[kColumnBlock];
  for (std::int64_t c = 0; c < width; ++c) factor[c] = static_cast<T>(1 / sum[c]);
  for (std::int64_t i = 0; i < n * stride; i += stride) {
    MP_IVDEP
    for (std::int64_t c = 0; c < width; ++c) y[i + c] *= factor[c];
  }
}

/// Calls f(width); the usual ones are constants, whose loops the compiler unrolls.
template <class F>
MP_INLINE void with_width(std::int64_t width, const F& f) {
  switch (width) {
    case 64:
      return f(std::integral_constant<std::int64_t, 64>());
    case 32:
      return f(std::integral_constant<std::int64_t, 32>());
    case 16:
      return f(std::integral_constant<std::int64_t, 16>());
    case 8:
      return f(std::integral_constant<std::int64_t, 8>());
    default:
      return f(width);
  }
}

template <class T>
void forward(const SoftmaxLines& lines, const void* from, void* to) {
  const T* const x = static_cast<const T*>(from);
  T* const y = static_cast<T*>(to);
  const std::int64_t n = lines.n;
  if (lines.stride > 1) {
    with_width(lines.width,
               [&](auto width) HWY_ATTR { columns_forward<T>(n, lines.stride, width, lines.log, x, y); });
  } else if (n <= kTurnedLength) {
    TurnedRows<T> turned;
    turned.read(x, lines.width, n);
    with_width(lines.width, [&](auto width) HWY_ATTR {
      columns_forward<T>(n, kTurnedRows, width, lines.log, turned[0], turned[0]);
    });
    turned.write(y, lines.width, n);
  } else {
    for (std::int64_t r = 0; r < lines.width; ++r) row_forward(n, lines.log, x + r * n, y + r * n);
  }
}

template <class T>
void row_backward(std::int64_t n, bool log, const T* g, const T* y, T* dx) {
  const T sum = static_cast<T>(log ? fold_row<SumOf<T>>(g, 1, n) : dot_row(g, y, n));
  const functors::SoftmaxGradient gradient{log};
  MP_IVDEP
  for (std::int64_t i = 0; i < n; ++i) dx[i] = gradient(g[i], y[i], sum);
}

template <class T>
MP_INLINE void columns_backward(std::int64_t n, std::int64_t stride, std::int64_t width, bool log, const T* g,
                                const T* y, T* dx) {
  const functors::SoftmaxGradient gradient{log};
  double sum[kColumnBlock] = {};
  for (std::int64_t i = 0; i < n * stride; i += stride) {
    MP_IVDEP
    for (std::int64_t c = 0; c < width; ++c) sum[c] += gradient.term(g[i + c], y[i + c]);
  }
  for (std::int64_t i = 0; i < n * stride; i += stride) {
    MP_IVDEP
    for (std::int64_t c = 0; c < width; ++c) dx[i + c] = gradient(g[i + c], y[i + c], static_cast<T>(sum[c]));
  }
}

template <class T>
void backward(const SoftmaxLines& lines, const void* gradient, const void* output, void* result) {
  const T *const g = static_cast<const T*>(gradient), *const y = static_cast<const T*>(output);
  T* const dx = static_cast<T*>(result);
  const std::int64_t n = lines.n;
  if (lines.stride > 1) {
    with_width(lines.width, [&](auto width) HWY_ATTR {
      columns_backward<T>(n, lines.stride, width, lines.log, g, y, dx);
    });
  } else if (n <= kTurnedLength) {
    TurnedRows<T> turned_g, turned_y;
    turned_g.read(g, lines.width, n);
    turned_y.read(y, lines.width, n);
    with_width(lines.width, [&](auto width) HWY_ATTR {
      columns_backward<T>(n, kTurnedRows, width, lines.log, turned_g[0], turned_y[0], turned_g[0]);
    });
    turned_g.write(dx, lines.width, n);
  } else {
    for (std::int64_t r = 0; r < lines.width; ++r)
      row_backward(n, lines.log, g + r * n, y + r * n, dx + r * n);
  }
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
