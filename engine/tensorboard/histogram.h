#pragma once

#include <span>
#include <vector>

namespace miniparallel::tensorboard {

/// Bucket i counts the values above limits[i - 1] and up to limits[i].
struct Histogram {
  double min = 0, max = 0, count = 0, sum = 0, sum_squares = 0;
  std::vector<double> limits, counts;
};

/// Of the finite values. The limits, of either sign, are 1e-12 times powers of 1.1; empty buckets at the ends
/// are left out except the one that gives the first its lower limit.
Histogram make_histogram(std::span<const double> values);

}  // namespace miniparallel::tensorboard
