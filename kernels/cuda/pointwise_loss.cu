#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/block_reduce.cuh"
#include "kernels/cuda/device/stored.cuh"
#include "kernels/cuda/device/workspace.h"
#include "kernels/pointwise_loss.h"
#include "kernels/reductions.h"

#include <algorithm>

namespace miniparallel::kernels::cuda {
namespace {

template <class F, class T>
__global__ void loss_elements(F f, std::int64_t n, const T* x, const T* target, T* y) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step)
    y[i] = convert<T>(f.forward(read(x[i]), read(target[i])));
}

/// Block c sums chunk c, in float64; the last stage is one
/// block over the partial sums. Chunks depend on n alone.
template <class F, class T>
__global__ void loss_chunks(F f, std::int64_t n, std::int64_t chunk, const T* x, const T* target,
                            double* partials) {
  const std::int64_t begin = blockIdx.x * chunk, end = begin + chunk < n ? begin + chunk : n;
  double mine = 0;
  for (std::int64_t i = begin + threadIdx.y; i < end; i += blockDim.y)
    mine += static_cast<double>(f.forward(read(x[i]), read(target[i])));
  const double total = combine_over_y<SumOf<double>>(mine);
  if (threadIdx.y == 0) partials[blockIdx.x] = total;
}

template <class T>
__global__ void loss_result(const double* partials, unsigned chunks, double scale, T* y) {
  double mine = 0;
  for (unsigned c = threadIdx.y; c < chunks; c += blockDim.y) mine += partials[c];
  const double total = combine_over_y<SumOf<double>>(mine);
  if (threadIdx.y == 0) *y = convert<T>(static_cast<Computed<T>>(total * scale));
}

template <class F, class T>
__global__ void loss_gradient(PointwiseLossArgs args, const T* x, const T* target, const T* g, T* dx) {
  using C = Computed<T>;
  const F f = functor_of<F>(args);
  const C scale = static_cast<C>(args.scale);
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < args.n;
       i += step) {
    const C factor = args.reduce ? (g == nullptr ? C(1) : read(g[0])) * scale : read(g[i]);
    dx[i] = convert<T>(f.backward(read(x[i]), read(target[i])) * factor);
  }
}

constexpr std::int64_t kChunk = 8192;

template <class F, class T>
void forward_as(const PointwiseLossArgs& args, void* out, Stream stream) {
  const T *x = static_cast<const T*>(args.x), *target = static_cast<const T*>(args.target);
  T* const y = static_cast<T*>(out);
  if (!args.reduce) {
    if (args.n > 0)
      launch_on(stream, loss_elements<F, T>, grid_for(args.n, stream.device), kBlock, functor_of<F>(args),
                args.n, x, target, y);
    return;
  }
  const std::int64_t chunks = std::clamp<std::int64_t>(args.n / kChunk, 1, 1024);
  auto* const partials = static_cast<double*>(workspace(stream));
  launch_blocks(stream, loss_chunks<F, T>, dim3(static_cast<unsigned>(chunks)), dim3(1, kBlock),
                functor_of<F>(args), args.n, (args.n + chunks - 1) / chunks, x, target, partials);
  launch_blocks(stream, loss_result<T>, dim3(1), dim3(1, kBlock), partials, static_cast<unsigned>(chunks),
                args.scale, y);
}

template <class F, class T>
void backward_as(const PointwiseLossArgs& args, const void* g, void* dx, Stream stream) {
  if (args.n == 0) return;
  launch_on(stream, loss_gradient<F, T>, grid_for(args.n, stream.device), kBlock, args,
            static_cast<const T*>(args.x), static_cast<const T*>(args.target), static_cast<const T*>(g),
            static_cast<T*>(dx));
}

/// Calls f for the functor of the function and the type of the dtype.
template <class Run>
void with_function(LossFunction function, DType dtype, const Run& f) {
  with_stored_type(dtype, [&]<class T>() {
    switch (function) {
      case LossFunction::squared_error:
        return f.template operator()<functors::SquaredError, T>();
      case LossFunction::absolute_error:
        return f.template operator()<functors::AbsoluteError, T>();
      case LossFunction::binary_cross_entropy:
        return f.template operator()<functors::BinaryCrossEntropy, T>();
      case LossFunction::huber:
        return f.template operator()<functors::Huber, T>();
      case LossFunction::kl_divergence:
        return f.template operator()<functors::KlDivergence, T>();
      case LossFunction::kl_divergence_of_logs:
        return f.template operator()<functors::KlDivergenceOfLogs, T>();
      case LossFunction::soft_margin:
        return f.template operator()<functors::SoftMargin, T>();
    }
  });
}

void forward(DType dtype, const PointwiseLossArgs& args, void* y, Stream stream) {
  with_function(args.function, dtype, [&]<class F, class T>() { forward_as<F, T>(args, y, stream); });
}
void backward(DType dtype, const PointwiseLossArgs& args, const void* g, void* dx, Stream stream) {
  with_function(args.function, dtype, [&]<class F, class T>() { backward_as<F, T>(args, g, dx, stream); });
}

}  // namespace

const PointwiseLoss& pointwise_loss() {
  static constexpr PointwiseLoss launchers{.forward = forward, .backward = backward};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
