#include "kernels/by_dtype.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/line.cuh"
#include "kernels/softmax.h"

namespace miniparallel::kernels::cuda {
namespace {

template <class T, int lanes>
__global__ void softmax_forward(SoftmaxArgs args, std::int64_t lines, const T* x, T* y) {
  const auto line = Line<lanes>::mine(args.n, args.inner);
  if (line.index >= lines) return;
  const LineStatistics<T, lanes> statistics(line, x);
  const T factor = static_cast<T>(1 / statistics.sum);
  line.for_each([&](std::int64_t at, std::int64_t) {
    const T shifted = x[at] - statistics.maximum;
    y[at] = args.log ? shifted - statistics.log_sum : math::exp(shifted) * factor;
  });
}

template <class T, int lanes>
__global__ void softmax_backward(SoftmaxArgs args, std::int64_t lines, const T* g, const T* y, T* dx) {
  const auto line = Line<lanes>::mine(args.n, args.inner);
  if (line.index >= lines) return;
  const functors::SoftmaxGradient gradient{args.log};
  double mine = 0;
  line.for_each([&](std::int64_t at, std::int64_t) { mine += gradient.term(g[at], y[at]); });
  const T sum = static_cast<T>(line.sum(mine));
  line.for_each([&](std::int64_t at, std::int64_t) { dx[at] = gradient(g[at], y[at], sum); });
}

template <class T>
void forward_as(const SoftmaxArgs& args, const void* x, void* y, Stream stream) {
  const std::int64_t lines = args.n == 0 ? 0 : args.outer * args.inner;
  launch_lines(stream, softmax_forward<T, 32>, softmax_forward<T, 1>, lines, args.inner, args, lines,
               static_cast<const T*>(x), static_cast<T*>(y));
}
void forward(DType dtype, const SoftmaxArgs& args, const void* x, void* y, Stream stream) {
  with_type(dtype, [&]<class T>() { forward_as<T>(args, x, y, stream); });
}

template <class T>
void backward_as(const SoftmaxArgs& args, const void* g, const void* y, void* dx, Stream stream) {
  const std::int64_t lines = args.n == 0 ? 0 : args.outer * args.inner;
  launch_lines(stream, softmax_backward<T, 32>, softmax_backward<T, 1>, lines, args.inner, args, lines,
               static_cast<const T*>(g), static_cast<const T*>(y), static_cast<T*>(dx));
}
void backward(DType dtype, const SoftmaxArgs& args, const void* g, const void* y, void* dx, Stream stream) {
  with_type(dtype, [&]<class T>() { backward_as<T>(args, g, y, dx, stream); });
}

}  // namespace

const Softmax& softmax() {
  static constexpr Softmax launchers{.forward = forward, .backward = backward};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
