#include "kernels/by_dtype.h"
#include "kernels/ctc.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/launch_on.cuh"

#include <algorithm>

namespace miniparallel::kernels::cuda {
namespace {

// A block per item walks through the steps; its threads take the states of a row, which the next row reads.

template <class T>
__global__ void ctc_forward(CtcArgs args, T* alpha, T* losses) {
  const CtcItem<T> item(args, blockIdx.x);
  T *row = alpha + item.item * args.states, *before = row;
  for (std::int64_t t = 0; t < item.steps; ++t, before = row, row += item.row) {
    for (std::int64_t s = threadIdx.x; s < args.states; s += blockDim.x) row[s] = item.alpha(t, s, before);
    __syncthreads();
  }
  if (threadIdx.x == 0) losses[item.item] = item.loss(before);
}

template <class T>
__global__ void ctc_backward(CtcArgs args, const T* alpha, const T* losses, const T* g, T* gradient) {
  const CtcItem<T> item(args, blockIdx.x);
  const T loss = losses[item.item], slope = g[item.item];
  const auto to_gradient = [&](std::int64_t t) {  // of a row that holds beta
    const std::int64_t at = t * item.row + item.item * args.states;
    for (std::int64_t s = threadIdx.x; s < args.states; s += blockDim.x)
      gradient[at + s] = item.gradient(t, s, alpha[at + s], gradient[at + s], loss, slope);
  };
  for (std::int64_t t = args.steps - 1; t >= 0; --t) {
    T* const row = gradient + t * item.row + item.item * args.states;
    for (std::int64_t s = threadIdx.x; s < args.states; s += blockDim.x)
      row[s] = t < item.steps ? item.beta(t, s, row + item.row) : T(0);
    __syncthreads();  // the row after has been read, this one is written
    if (t + 1 < item.steps) to_gradient(t + 1);
  }
  if (item.steps > 0) to_gradient(0);
}

/// Threads for the states, whole warps.
int block_for(const CtcArgs& args) {
  return static_cast<int>(std::min<std::int64_t>((args.states + 31) / 32 * 32, kBlock));
}

void forward(DType dtype, const CtcArgs& args, void* alpha, void* losses, Stream stream) {
  if (args.n == 0) return;
  with_type(dtype, [&]<class T>() {
    launch_on(stream, ctc_forward<T>, static_cast<unsigned>(args.n), block_for(args), args, out<T>(alpha),
              out<T>(losses));
  });
}

void backward(DType dtype, const CtcArgs& args, const void* alpha, const void* losses, const void* g,
              void* dlog_probs, Stream stream) {
  if (args.n == 0) return;
  with_type(dtype, [&]<class T>() {
    launch_on(stream, ctc_backward<T>, static_cast<unsigned>(args.n), block_for(args), args, in<T>(alpha),
              in<T>(losses), in<T>(g), out<T>(dlog_probs));
  });
}

}  // namespace

const Ctc& ctc() {
  static constexpr Ctc launchers{.forward = forward, .backward = backward};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
