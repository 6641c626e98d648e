#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/launch_on.cuh"
#include "kernels/cuda/device/stored.cuh"
#include "kernels/scan.h"

#include <algorithm>

namespace miniparallel::kernels::cuda {
namespace {

/// A block per packed line, tile by tile: the steps of a tile are combined in a tree, then applied to what
/// the tiles before have come to.
template <class T>
__global__ void scan_lines(ScanArgs args, T* y) {
  using Step = ScanStep<Computed<T>>;
  auto& steps = miniparallel::cuda::shared_array<Step, kBlock>();
  const int thread = static_cast<int>(threadIdx.x);
  for (std::int64_t line = blockIdx.x; line < args.outer; line += gridDim.x) {
    auto before = static_cast<typename Step::Value>(args.initial);
    for (std::int64_t tile = 0; tile < args.n; tile += kBlock) {
      const std::int64_t i = tile + thread;
      const std::int64_t at = line * args.n + (args.reverse ? args.n - 1 - i : i);
      Step mine{1, 0};
      if (i < args.n)
        mine = Step::load(static_cast<const T*>(args.factor), static_cast<const T*>(args.term), at);
      steps[thread] = mine;
      __syncthreads();
      for (int distance = 1; distance < kBlock; distance *= 2) {
        if (thread >= distance) mine = steps[thread - distance].then(mine);
        __syncthreads();
        steps[thread] = mine;
        __syncthreads();
      }
      if (i < args.n) y[at] = convert<T>(mine(before));
      before = steps[kBlock - 1](before);
      __syncthreads();  // before the next tile is written
    }
  }
}

/// A thread per line, so that neighbouring threads have neighbouring elements.
template <class T>
__global__ void scan_columns(ScanArgs args, T* y) {
  using Step = ScanStep<Computed<T>>;
  const std::int64_t lines = args.outer * args.inner,
                     threads = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t line = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; line < lines;
       line += threads) {
    const std::int64_t start = line / args.inner * args.n * args.inner + line % args.inner;
    auto last = static_cast<typename Step::Value>(args.initial);
    for (std::int64_t i = 0; i < args.n; ++i) {
      const std::int64_t at = start + (args.reverse ? args.n - 1 - i : i) * args.inner;
      last = Step::load(static_cast<const T*>(args.factor), static_cast<const T*>(args.term), at)(last);
      y[at] = convert<T>(last);
    }
  }
}

template <class T>
void recurrence_as(const ScanArgs& args, void* y, Stream stream) {
  const std::int64_t lines = args.outer * args.inner;
  if (lines == 0 || args.n == 0) return;
  const std::int64_t threads = args.inner == 1 ? lines * kBlock : lines;
  launch_on(stream, args.inner == 1 ? scan_lines<T> : scan_columns<T>, grid_for(threads, stream.device),
            kBlock, args, static_cast<T*>(y));
}

void recurrence(DType dtype, const ScanArgs& args, void* y, Stream stream) {
  if (dtype == int64) return recurrence_as<std::int64_t>(args, y, stream);
  with_stored_type(dtype, [&]<class T>() { recurrence_as<T>(args, y, stream); });
}

}  // namespace

const Scan& scan() {
  static constexpr Scan launchers{.recurrence = recurrence};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
