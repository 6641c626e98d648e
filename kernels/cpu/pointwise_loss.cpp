#include "kernels/pointwise_loss.h"

#include "kernels/by_dtype.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"

#include <algorithm>
#include <array>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/pointwise_loss.cpp"
#include "kernels/cpu/targets.h"

#ifndef MP_POINTWISE_LOSS_TABLE
#define MP_POINTWISE_LOSS_TABLE
namespace miniparallel::kernels::cpu {
inline constexpr std::int64_t kLossChunk = 4096;  // elements of one partial sum
struct PointwiseLossLoops {
  /// y[i] for i in [begin, end); with a null y their sum, at most kLossChunk of them.
  double (*forward)(const PointwiseLossArgs& args, std::int64_t begin, std::int64_t end, void* y);
  void (*backward)(const PointwiseLossArgs& args, std::int64_t begin, std::int64_t end, const void* g,
                   void* dx);
};
using PointwiseLossTable = std::array<ByDType<PointwiseLossLoops>, kLossFunctions>;  // by LossFunction
}  // namespace miniparallel::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

template <class F, class T>
double forward(const PointwiseLossArgs& args, std::int64_t begin, std::int64_t end, void* y) {
  const T *x = static_cast<const T*>(args.x) + begin, *target = static_cast<const T*>(args.target) + begin;
  T local[kLossChunk];
  T* out = y ? static_cast<T*>(y) + begin : local;
  const F f = functor_of<F>(args);
  MP_IVDEP
  for (std::int64_t i = 0; i < end - begin; ++i) out[i] = f.forward(x[i], target[i]);
  return y ? 0 : fold_row<SumOf<T>>(local, end - begin);
}

template <class F, class T>
void backward(const PointwiseLossArgs& args, std::int64_t begin, std::int64_t end, const void* g, void* out) {
  const T *x = static_cast<const T*>(args.x), *target = static_cast<const T*>(args.target);
  const T* gradient = static_cast<const T*>(g);
  T* dx = static_cast<T*>(out);
  const F f = functor_of<F>(args);
  const T scale = args.reduce ? static_cast<T>(args.scale) * (gradient ? gradient[0] : T(1)) : T(1);
  if (args.reduce) {
    MP_IVDEP
    for (std::int64_t i = begin; i < end; ++i) dx[i] = f.backward(x[i], target[i]) * scale;
  } else {
    MP_IVDEP
    for (std::int64_t i = begin; i < end; ++i) dx[i] = f.backward(x[i], target[i]) * gradient[i];
  }
}

template <class F>
constexpr ByDType<PointwiseLossLoops> loops_of{{forward<F, float>, backward<F, float>},
                                               {forward<F, double>, backward<F, double>}};

}  // namespace

const PointwiseLossTable& pointwise_loss_loops() {
  static constexpr PointwiseLossTable table{
      loops_of<functors::SquaredError>,       loops_of<functors::AbsoluteError>,
      loops_of<functors::BinaryCrossEntropy>, loops_of<functors::Huber>,
      loops_of<functors::KlDivergence>,       loops_of<functors::KlDivergenceOfLogs>,
      loops_of<functors::SoftMargin>};
  return table;
}

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {
namespace {

MP_DISPATCH(PointwiseLossTable, pointwise_loss_loops)

constexpr std::int64_t kGrain = 16384;  // elements per thread at least

const PointwiseLossLoops& loops_for(LossFunction function, DType dtype) {
  return pointwise_loss_loops()[static_cast<std::size_t>(function)][dtype];
}

/// In fixed chunks, so that the sum does not depend on the number of threads.
double sum(const PointwiseLossLoops& loops, const PointwiseLossArgs& args) {
  struct Partials;
  const std::int64_t chunks = (args.n + kLossChunk - 1) / kLossChunk;
  double* partial = scratch<Partials, double>(chunks);
  parallel_for(chunks, kGrain / kLossChunk, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      partial[i] = loops.forward(args, i * kLossChunk, std::min(args.n, (i + 1) * kLossChunk), nullptr);
  });
  double total = 0;
  for (std::int64_t i = 0; i < chunks; ++i) total += partial[i];
  return total * args.scale;
}

void forward(DType dtype, const PointwiseLossArgs& args, void* y, Stream) {
  const PointwiseLossLoops& loops = loops_for(args.function, dtype);
  if (!args.reduce)
    parallel_for(args.n, kGrain,
                 [&](std::int64_t begin, std::int64_t end) { loops.forward(args, begin, end, y); });
  else
    with_type(dtype, [&]<class T>() { *out<T>(y) = static_cast<T>(sum(loops, args)); });
}

void backward(DType dtype, const PointwiseLossArgs& args, const void* g, void* dx, Stream) {
  const PointwiseLossLoops& loops = loops_for(args.function, dtype);
  parallel_for(args.n, kGrain,
               [&](std::int64_t begin, std::int64_t end) { loops.backward(args, begin, end, g, dx); });
}

}  // namespace

const PointwiseLoss& pointwise_loss() {
  static constexpr PointwiseLoss launchers{.forward = forward, .backward = backward};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu
#endif
