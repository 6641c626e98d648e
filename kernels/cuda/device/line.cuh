#pragma once

#include "kernels/cuda/device/block_reduce.cuh"
#include "kernels/math.h"

#include <cstdint>
#include <limits>

/// Functions of whole lines of an (outer, n, inner) array, as softmax: a line runs along n. Where lines are
/// packed a warp works on each, else a thread, so that neighbouring threads read neighbouring elements.

namespace miniparallel::kernels::cuda {

/// Line `index` = outer * inner + position, seen from one of its `lanes` threads.
template <int lanes>
struct Line {
  std::int64_t index, start, n, stride;
  int lane;

  /// The thread's line; index is past the last line's if it has none.
  __device__ static Line mine(std::int64_t n, std::int64_t inner) {
    const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    const std::int64_t index = thread / lanes;
    return {index, index / inner * n * inner + index % inner, n, inner,
            static_cast<int>(threadIdx.x % lanes)};
  }
  /// Calls f(element, position along n) for the thread's share.
  template <class F>
  __device__ void for_each(const F& f) const {
    for (std::int64_t i = lane; i < n; i += lanes) f(start + i * stride, i);
  }
  /// Combines the values of the line's threads; every thread gets the result.
  template <class T, class F>
  __device__ static T combine(T value, const F& f) {
    for (int distance = lanes / 2; distance > 0; distance /= 2)
      value = f(value, __shfl_xor_sync(kWholeWarp, value, distance));
    return value;
  }
  template <class T>
  __device__ static T sum(T value) {
    return combine(value, [](T a, T b) { return a + b; });
  }
  template <class T>
  __device__ static T maximum(T value) {
    return combine(value, [](T a, T b) { return b > a || b != b ? b : a; });
  }
};

/// Starts kernel<32> or kernel<1>, given as `warps` and `threads`, for `lines` lines.
template <class... Parameters, class... Arguments>
void launch_lines(Stream stream, void (*warps)(Parameters...), void (*threads)(Parameters...),
                  std::int64_t lines, std::int64_t inner, const Arguments&... arguments) {
  if (lines == 0) return;
  const std::int64_t count = inner == 1 ? lines * 32 : lines;
  launch_on(stream, inner == 1 ? warps : threads, static_cast<unsigned>((count + kBlock - 1) / kBlock),
            kBlock, arguments...);
}

/// Maximum of a line and the log of the sum of exp(x - maximum),
/// in one pass: the sum is scaled whenever the maximum rises.
template <class T, int lanes>
struct LineStatistics {
  T maximum, log_sum;
  double sum;

  __device__ LineStatistics(const Line<lanes>& line, const T* x) {
    T high = -std::numeric_limits<T>::infinity();
    double total = 0;
    line.for_each([&](std::int64_t at, std::int64_t) {
      const T value = x[at];
      if (value > high) {
        total = total * static_cast<double>(math::exp(high - value)) + 1;
        high = value;
      } else {
        total += static_cast<double>(exponential(value, high));
      }
    });
    maximum = line.maximum(high);
    sum = line.sum(total * static_cast<double>(exponential(high, maximum)));
    log_sum = math::log(static_cast<T>(sum));
  }
  /// exp(x - high), where both may be -infinity.
  __device__ static T exponential(T x, T high) { return x == high ? T(1) : math::exp(x - high); }
};

}  // namespace miniparallel::kernels::cuda
