#pragma once

#include "kernels/macros.h"

namespace miniparallel::kernels::cuda {

/// Count, mean and sum of squared deviations from it, of some numbers.
struct Moments {
  using Accumulator = Moments;
  double count, mean, deviations;

  MP_INLINE static Moments initial() { return {0, 0, 0}; }
  /// Those of both sets of numbers, exact up to rounding. (Chan, Golub, LeVeque: "Updating formulae and a
  /// pairwise algorithm for computing sample variances", 1979.)
  MP_INLINE static Moments combine(const Moments& a, const Moments& b) {
    const double count = a.count + b.count;
    if (count == 0) return a;
    const double difference = b.mean - a.mean, weight = b.count / count;
    return {count, a.mean + difference * weight,
            a.deviations + b.deviations + difference * difference * a.count * weight};
  }
};

/// Welford's running moments, in T. Give it numbers less one of them: the sums are then as large as
/// their spread, however large their mean.
template <class T>
class RunningMoments {
 public:
  MP_INLINE void add(T x) {
    const T difference = x - mean_;
    count_ += T(1);
    mean_ += difference / count_;
    deviations_ += difference * (x - mean_);
  }
  /// The moments of N numbers, then those of both sets: one division instead of N.
  template <int N>
  MP_INLINE void add(const T (&x)[N]) {
    T sum = 0, deviations = 0;
    MP_UNROLL
    for (int k = 0; k < N; ++k) sum += x[k];
    const T mean = sum * (T(1) / T(N));
    MP_UNROLL
    for (int k = 0; k < N; ++k) deviations += (x[k] - mean) * (x[k] - mean);
    const T difference = mean - mean_, weight = T(N) / (count_ + T(N));
    mean_ += difference * weight;
    deviations_ += deviations + difference * difference * count_ * weight;
    count_ += T(N);
  }
  MP_INLINE operator Moments() const {
    return {static_cast<double>(count_), static_cast<double>(mean_), static_cast<double>(deviations_)};
  }

 private:
  T count_ = 0, mean_ = 0, deviations_ = 0;
};

/// Two sums.
struct Sums {
  using Accumulator = Sums;
  double first, second;

  MP_INLINE static Sums initial() { return {0, 0}; }
  MP_INLINE static Sums combine(const Sums& a, const Sums& b) {
    return {a.first + b.first, a.second + b.second};
  }
  template <class T>
  MP_INLINE void add(T a, T b) {
    first += static_cast<double>(a);
    second += static_cast<double>(b);
  }
};

}  // namespace miniparallel::kernels::cuda
