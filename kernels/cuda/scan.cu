#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/launch_on.cuh"
#include "kernels/cuda/device/stored.cuh"
#include "kernels/scan.h"

#include <algorithm>

namespace miniparallel::kernels::cuda {
namespace {

/// A block's walk along a packed line, tile by tile: the steps of a tile are combined in a tree, then applied
/// to what the tiles before have come to, at first `before`. Calls put(element, value before, value).
template <class T, class Step, class Put>
__device__ void walk_line(const ScanArgs& args, bool reverse, std::int64_t line, typename Step::Value before,
                          Step (&steps)[kBlock], const Put& put) {
  const int thread = static_cast<int>(threadIdx.x);
  for (std::int64_t tile = 0; tile < args.n; tile += kBlock) {
    const std::int64_t i = tile + thread;
    const std::int64_t at = line * args.n + (reverse ? args.n - 1 - i : i);
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
    if (i < args.n) put(at, thread == 0 ? before : steps[thread - 1](before), mine(before));
    before = steps[kBlock - 1](before);
    __syncthreads();  // before the next tile is written
  }
}

template <class T>
__global__ void scan_lines(ScanArgs args, T* y) {
  using Step = ScanStep<Computed<T>>;
  using Value = typename Step::Value;
  auto& steps = miniparallel::cuda::shared_array<Step, kBlock>();
  for (std::int64_t line = blockIdx.x; line < args.outer; line += gridDim.x)
    walk_line<T>(args, args.reverse, line, static_cast<Value>(args.initial), steps,
                 [y](std::int64_t at, Value, Value value) { y[at] = convert<T>(value); });
}

/// A thread's walk along a line whose neighbours are those of neighbouring threads.
template <class T, class Put>
__device__ void walk_column(const ScanArgs& args, bool reverse, std::int64_t line,
                            typename ScanStep<Computed<T>>::Value last, const Put& put) {
  using Step = ScanStep<Computed<T>>;
  const std::int64_t start = line / args.inner * args.n * args.inner + line % args.inner;
  for (std::int64_t i = 0; i < args.n; ++i) {
    const std::int64_t at = start + (reverse ? args.n - 1 - i : i) * args.inner;
    const auto before = last;
    last = Step::load(static_cast<const T*>(args.factor), static_cast<const T*>(args.term), at)(last);
    put(at, before, last);
  }
}

/// Calls f(line) for the lines of a thread.
template <class F>
__device__ void for_each_column(const ScanArgs& args, const F& f) {
  const std::int64_t threads = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t line = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
       line < args.outer * args.inner; line += threads)
    f(line);
}

template <class T>
__global__ void scan_columns(ScanArgs args, T* y) {
  using Value = typename ScanStep<Computed<T>>::Value;
  for_each_column(args, [&](std::int64_t line) {
    walk_column<T>(args, args.reverse, line, static_cast<Value>(args.initial),
                   [y](std::int64_t at, Value, Value value) { y[at] = convert<T>(value); });
  });
}

// Products of others: forwards those of the ones before, from 1 on; backwards, from g on, times those behind.

template <class T>
__global__ void products_of_others_in_lines(ScanArgs args, const T* g, T* dx) {
  using Step = ScanStep<T>;
  using Value = typename Step::Value;
  auto& steps = miniparallel::cuda::shared_array<Step, kBlock>();
  for (std::int64_t line = blockIdx.x; line < args.outer; line += gridDim.x) {
    walk_line<T>(args, false, line, Value(1), steps,
                 [dx](std::int64_t at, Value before, Value) { dx[at] = static_cast<T>(before); });
    walk_line<T>(args, true, line, static_cast<Value>(g[line]), steps,
                 [dx](std::int64_t at, Value before, Value) { dx[at] = static_cast<T>(dx[at] * before); });
  }
}

template <class T>
__global__ void products_of_others_in_columns(ScanArgs args, const T* g, T* dx) {
  using Value = typename ScanStep<T>::Value;
  for_each_column(args, [&](std::int64_t line) {
    walk_column<T>(args, false, line, Value(1),
                   [dx](std::int64_t at, Value before, Value) { dx[at] = static_cast<T>(before); });
    walk_column<T>(args, true, line, static_cast<Value>(g[line]),
                   [dx](std::int64_t at, Value before, Value) { dx[at] = static_cast<T>(dx[at] * before); });
  });
}

/// Launches one of two kernels: a block or a thread per line.
template <class... Parameters, class... Arguments>
void launch_for_lines(Stream stream, const ScanArgs& args, void (*lines)(ScanArgs, Parameters...),
                      void (*columns)(ScanArgs, Parameters...), Arguments... arguments) {
  const std::int64_t count = args.outer * args.inner;
  if (count == 0 || args.n == 0) return;
  const std::int64_t threads = args.inner == 1 ? count * kBlock : count;
  launch_on(stream, args.inner == 1 ? lines : columns, grid_for(threads, stream.device), kBlock, args,
            arguments...);
}

template <class T>
void recurrence_as(const ScanArgs& args, void* y, Stream stream) {
  launch_for_lines(stream, args, scan_lines<T>, scan_columns<T>, static_cast<T*>(y));
}

void recurrence(DType dtype, const ScanArgs& args, void* y, Stream stream) {
  if (dtype == int64) return recurrence_as<std::int64_t>(args, y, stream);
  with_stored_type(dtype, [&]<class T>() { recurrence_as<T>(args, y, stream); });
}

void products_of_others(DType dtype, const ScanArgs& args, const void* g, void* dx, Stream stream) {
  with_type(dtype, [&]<class T>() {
    launch_for_lines(stream, args, products_of_others_in_lines<T>, products_of_others_in_columns<T>,
                     static_cast<const T*>(g), static_cast<T*>(dx));
  });
}

}  // namespace

const Scan& scan() {
  static constexpr Scan launchers{.recurrence = recurrence, .products_of_others = products_of_others};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
