#include "kernels/softmax.h"

#include "kernels/by_dtype.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/exponentials.h"
#include "kernels/cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/softmax.cpp"
#include "kernels/cpu/targets.h"

#ifndef MP_SOFTMAX_TABLE
#define MP_SOFTMAX_TABLE
namespace miniparallel::kernels::cpu {
/// One softmax over a row of n, or over `width` columns `stride` apart.
struct SoftmaxLine {
  std::int64_t n, stride, width;
  bool log;
};
struct SoftmaxLoops {
  void (*forward)(const SoftmaxLine& line, const void* x, void* y);
  void (*backward)(const SoftmaxLine& line, const void* g, const void* y, void* dx);
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
void columns_forward(const SoftmaxLine& line, const T* x, T* y) {
  T maximum[kColumnBlock], log_sum[kColumnBlock];
  column_statistics(x, line.n, line.stride, line.width, maximum, log_sum);
  for (std::int64_t i = 0; i < line.n; ++i) {
    const T* from = x + i * line.stride;
    T* to = y + i * line.stride;
    MP_IVDEP
    for (std::int64_t c = 0; c < line.width; ++c) {
      const T log_probability = (from[c] - maximum[c]) - log_sum[c];
      to[c] = line.log ? log_probability : math::exp(log_probability);
    }
  }
}

template <class T>
void forward(const SoftmaxLine& line, const void* x, void* y) {
  if (line.stride == 1)
    row_forward(line.n, line.log, static_cast<const T*>(x), static_cast<T*>(y));
  else
    columns_forward(line, static_cast<const T*>(x), static_cast<T*>(y));
}

template <class T>
void row_backward(std::int64_t n, bool log, const T* g, const T* y, T* dx) {
  const T sum = static_cast<T>(log ? fold_row<SumOf<T>>(g, 1, n) : dot_row(g, y, n));
  const functors::SoftmaxGradient gradient{log};
  MP_IVDEP
  for (std::int64_t i = 0; i < n; ++i) dx[i] = gradient(g[i], y[i], sum);
}

template <class T>
void columns_backward(const SoftmaxLine& line, const T* g, const T* y, T* dx) {
  const functors::SoftmaxGradient gradient{line.log};
  double sums[kColumnBlock] = {};
  for (std::int64_t i = 0; i < line.n; ++i)
    for (std::int64_t c = 0; c < line.width; ++c) {
      const std::int64_t at = i * line.stride + c;
      sums[c] += gradient.term(g[at], y[at]);
    }
  for (std::int64_t i = 0; i < line.n; ++i) {
    const std::int64_t at = i * line.stride;
    MP_IVDEP
    for (std::int64_t c = 0; c < line.width; ++c)
      dx[at + c] = gradient(g[at + c], y[at + c], static_cast<T>(sums[c]));
  }
}

template <class T>
void backward(const SoftmaxLine& line, const void* g, const void* y, void* dx) {
  if (line.stride == 1)
    row_backward(line.n, line.log, static_cast<const T*>(g), static_cast<const T*>(y), static_cast<T*>(dx));
  else
    columns_backward(line, static_cast<const T*>(g), static_cast<const T*>(y), static_cast<T*>(dx));
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

/// Calls run(line, byte offset) for every row, or block of columns.
template <class Run>
void for_each_line(DType dtype, const SoftmaxArgs& args, Run run) {
  if (args.n == 0 || args.inner == 0) return;
  const std::int64_t blocks = (args.inner + kColumnBlock - 1) / kColumnBlock;
  const std::int64_t elements = args.n * std::min(args.inner, kColumnBlock);
  parallel_for(args.outer * blocks, std::max<std::int64_t>(kGrain / elements, 1),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   const std::int64_t column = i % blocks * kColumnBlock;
                   const std::int64_t offset = i / blocks * args.n * args.inner + column;
                   run(SoftmaxLine{args.n, args.inner, std::min(kColumnBlock, args.inner - column), args.log},
                       offset * static_cast<std::int64_t>(size_of(dtype)));
                 }
               });
}

void forward(DType dtype, const SoftmaxArgs& args, const void* x, void* y, Stream) {
  const SoftmaxLoops& loops = softmax_loops()[dtype];
  for_each_line(dtype, args, [&](const SoftmaxLine& line, std::int64_t at) {
    loops.forward(line, static_cast<const std::byte*>(x) + at, static_cast<std::byte*>(y) + at);
  });
}

void backward(DType dtype, const SoftmaxArgs& args, const void* g, const void* y, void* dx, Stream) {
  const SoftmaxLoops& loops = softmax_loops()[dtype];
  for_each_line(dtype, args, [&](const SoftmaxLine& line, std::int64_t at) {
    loops.backward(line, static_cast<const std::byte*>(g) + at, static_cast<const std::byte*>(y) + at,
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
