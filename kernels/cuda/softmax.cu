#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/line.cuh"
#include "kernels/cuda/device/stored.cuh"
#include "kernels/reductions.h"
#include "kernels/softmax.h"

namespace miniparallel::kernels::cuda {
namespace {

constexpr int kBatch = 8;  // loads that a thread has in flight

/// The softmax of a line, or its logarithm, element by element.
template <class T>
struct Normalizer {
  bool log;
  T maximum, factor, log_sum;

  __device__ Normalizer(bool log_, const ExponentialSum<T>& of)
      : log(log_), maximum(of.maximum), factor(static_cast<T>(1 / of.sum)), log_sum(of.log_sum()) {}
  __device__ T operator()(T x) const {
    const T shifted = x - maximum;
    return log ? shifted - log_sum : math::exp(shifted) * factor;
  }
};

template <class T, int lanes>
__global__ void softmax_forward(SoftmaxArgs args, std::int64_t lines, const T* x, T* y) {
  const auto line = Line<lanes>::mine(args.n, args.inner);
  if (line.index >= lines) return;
  const Normalizer<Computed<T>> normalize(args.log, exponential_sum(line, x));
  line.for_each([&](std::int64_t at, std::int64_t) { y[at] = convert<T>(normalize(read(x[at]))); });
}

template <class T, int lanes>
__global__ void softmax_backward(SoftmaxArgs args, std::int64_t lines, const T* g, const T* y, T* dx) {
  const auto line = Line<lanes>::mine(args.n, args.inner);
  if (line.index >= lines) return;
  const functors::SoftmaxGradient gradient{args.log};
  double mine = 0;
  line.for_each([&](std::int64_t at, std::int64_t) { mine += gradient.term(read(g[at]), read(y[at])); });
  const auto sum = static_cast<Computed<T>>(line.sum(mine));
  line.for_each(
      [&](std::int64_t at, std::int64_t) { dx[at] = convert<T>(gradient(read(g[at]), read(y[at]), sum)); });
}

template <class T>
struct LongSoftmax {
  using C = Computed<T>;
  using Values = ExponentialSum<C>;
  SoftmaxArgs args;
  const T* x;
  T* y;

  template <class Use>
  __device__ void for_each(std::int64_t line, std::int64_t begin, std::int64_t end, std::int64_t step,
                           const Use& use) const {
    const std::int64_t start = start_of_line(line, args.n, args.inner);
    for_each_in_batches<kBatch>(
        begin, end, step, [&](std::int64_t i) { return x[start + i * args.inner]; },
        [&](T value, std::int64_t i) { use(read(value), start + i * args.inner); });
  }
  __device__ Values part(std::int64_t line, std::int64_t begin, std::int64_t end, std::int64_t step) const {
    Values mine = Values::initial();
    for_each(line, begin, end, step, [&](C value, std::int64_t) { mine.add(value); });
    return mine;
  }
  __device__ void apply(std::int64_t line, const Values& total, std::int64_t begin, std::int64_t end,
                        std::int64_t step) const {
    const Normalizer<C> normalize(args.log, total);
    for_each(line, begin, end, step, [&](C value, std::int64_t at) { y[at] = convert<T>(normalize(value)); });
  }
};

template <class T>
struct LongSoftmaxGradient {
  using C = Computed<T>;
  struct Values : SumOf<double> {
    MP_INLINE static double initial() { return 0; }
  };
  SoftmaxArgs args;
  const T *g, *y;
  T* dx;

  template <class Use>
  __device__ void for_each(std::int64_t line, std::int64_t begin, std::int64_t end, std::int64_t step,
                           const Use& use) const {
    struct Loaded {
      T g, y;
    };
    const std::int64_t start = start_of_line(line, args.n, args.inner);
    for_each_in_batches<kBatch / 2>(
        begin, end, step,
        [&](std::int64_t i) { return Loaded{g[start + i * args.inner], y[start + i * args.inner]}; },
        [&](const Loaded& of, std::int64_t i) { use(read(of.g), read(of.y), start + i * args.inner); });
  }
  __device__ double part(std::int64_t line, std::int64_t begin, std::int64_t end, std::int64_t step) const {
    const functors::SoftmaxGradient gradient{args.log};
    double mine = 0;
    for_each(line, begin, end, step,
             [&](C of_y, C value, std::int64_t) { mine += gradient.term(of_y, value); });
    return mine;
  }
  __device__ void apply(std::int64_t line, double total, std::int64_t begin, std::int64_t end,
                        std::int64_t step) const {
    const functors::SoftmaxGradient gradient{args.log};
    const C sum = static_cast<C>(total);
    for_each(line, begin, end, step,
             [&](C of_y, C value, std::int64_t at) { dx[at] = convert<T>(gradient(of_y, value, sum)); });
  }
};

/// Lines that are few and long are computed as `in_chunks`, the others by the kernels.
template <class Chunked, class... Parameters, class... Arguments>
void launch(Stream stream, const SoftmaxArgs& args, const Chunked& in_chunks, void (*warps)(Parameters...),
            void (*threads)(Parameters...), const Arguments&... arguments) {
  const std::int64_t lines = args.n == 0 ? 0 : args.outer * args.inner;
  const TwoStagePlan plan = plan_of_lines(lines, args.n, args.inner, sizeof(AccumulatorOf<Chunked>));
  if (plan.chunks > 1) return reduce_and_apply(in_chunks, plan, stream);
  launch_lines(stream, warps, threads, lines, args.inner, args, lines, arguments...);
}

template <class T>
void forward_as(const SoftmaxArgs& args, const T* x, T* y, Stream stream) {
  launch(stream, args, LongSoftmax<T>{args, x, y}, softmax_forward<T, 32>, softmax_forward<T, 1>, x, y);
}
void forward(DType dtype, const SoftmaxArgs& args, const void* x, void* y, Stream stream) {
  with_stored_type(dtype, [&]<class T>() { forward_as<T>(args, in<T>(x), out<T>(y), stream); });
}

template <class T>
void backward_as(const SoftmaxArgs& args, const T* g, const T* y, T* dx, Stream stream) {
  launch(stream, args, LongSoftmaxGradient<T>{args, g, y, dx}, softmax_backward<T, 32>,
         softmax_backward<T, 1>, g, y, dx);
}
void backward(DType dtype, const SoftmaxArgs& args, const void* g, const void* y, void* dx, Stream stream) {
  with_stored_type(dtype, [&]<class T>() { backward_as<T>(args, in<T>(g), in<T>(y), out<T>(dx), stream); });
}

}  // namespace

const Softmax& softmax() {
  static constexpr Softmax launchers{.forward = forward, .backward = backward};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
