#pragma once

#include "kernels/cuda/device/stored.cuh"
#include "kernels/cuda/device/two_stage.cuh"
#include "kernels/math.h"

#include <cstdint>
#include <limits>

/// Functions of whole lines of an (outer, n, inner) array, as softmax: a line runs along n. Where lines are
/// packed a warp works on each, else a thread, so that neighbouring threads read neighbouring elements. Lines
/// that are few and long are shared by blocks, in chunks (two_stage.cuh).

namespace miniparallel::kernels::cuda {

/// The first element of line `index` = outer * inner + position.
MP_INLINE std::int64_t start_of_line(std::int64_t index, std::int64_t n, std::int64_t inner) {
  return index / inner * n * inner + index % inner;
}

/// A line, seen from one of its `lanes` threads.
template <int lanes>
struct Line {
  std::int64_t index, start, n, stride;
  int lane;

  /// The thread's line; index is past the last line's if it has none.
  __device__ static Line mine(std::int64_t n, std::int64_t inner) {
    const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    const std::int64_t index = thread / lanes;
    return {index, start_of_line(index, n, inner), n, inner, static_cast<int>(threadIdx.x % lanes)};
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

/// How `lines` lines are cut: in more than one chunk where they are few and long.
inline TwoStagePlan plan_of_lines(std::int64_t lines, std::int64_t n, std::int64_t inner,
                                  std::size_t accumulator_bytes) {
  return make_two_stage_plan(lines, n, inner != 1, accumulator_bytes);
}

/// Maximum of some numbers and the sum of exp(x - maximum), in one pass: the sum is scaled whenever the
/// maximum rises.
template <class T>
struct ExponentialSum {
  using Accumulator = ExponentialSum;
  T maximum;
  double sum;

  MP_INLINE static ExponentialSum initial() { return {-std::numeric_limits<T>::infinity(), 0}; }
  MP_INLINE void add(T value) {
    if (value > maximum) {
      const T one = 1 + (value - value);  // NaN of infinity
      sum = sum * static_cast<double>(math::exp(maximum - value)) + static_cast<double>(one);
      maximum = value;
    } else {
      sum += static_cast<double>(exponential(value, maximum));
    }
  }
  MP_INLINE static ExponentialSum combine(const ExponentialSum& a, const ExponentialSum& b) {
    const T high = b.maximum > a.maximum ? b.maximum : a.maximum;
    return {high, a.sum_below(high) + b.sum_below(high)};
  }
  /// The sum of exp(x - high), for a `high` that is not below the maximum.
  MP_INLINE double sum_below(T high) const { return sum * static_cast<double>(exponential(maximum, high)); }
  MP_INLINE T log_sum() const { return math::log(static_cast<T>(sum)); }

 private:
  /// exp(x - high), where both may be -infinity.
  MP_INLINE static T exponential(T x, T high) { return x == high ? T(1) : math::exp(x - high); }
};

/// That of a line; every thread gets it.
template <class T, int lanes>
__device__ ExponentialSum<Computed<T>> exponential_sum(const Line<lanes>& line, const T* x) {
  auto mine = ExponentialSum<Computed<T>>::initial();
  line.for_each([&](std::int64_t at, std::int64_t) { mine.add(read(x[at])); });
  const Computed<T> maximum = line.maximum(mine.maximum);
  return {maximum, line.sum(mine.sum_below(maximum))};
}

}  // namespace miniparallel::kernels::cuda
