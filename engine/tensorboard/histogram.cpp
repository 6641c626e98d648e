#include "engine/tensorboard/histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace miniparallel::tensorboard {
namespace {

std::vector<double> make_limits() {
  std::vector<double> positive;
  for (double limit = 1e-12; limit < 1e20; limit *= 1.1) positive.push_back(limit);
  positive.push_back(std::numeric_limits<double>::max());
  std::vector<double> limits;
  for (auto limit = positive.rbegin(); limit != positive.rend(); ++limit) limits.push_back(-*limit);
  limits.push_back(0);
  limits.insert(limits.end(), positive.begin(), positive.end());
  return limits;
}

}  // namespace

Histogram make_histogram(std::span<const double> values) {
  static const std::vector<double> limits = make_limits();
  Histogram result;
  std::vector<double> counts(limits.size());
  result.min = std::numeric_limits<double>::infinity();
  result.max = -result.min;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    ++counts[static_cast<std::size_t>(std::ranges::lower_bound(limits, value) - limits.begin())];
    ++result.count;
    result.min = std::min(result.min, value);
    result.max = std::max(result.max, value);
    result.sum += value;
    result.sum_squares += value * value;
  }
  if (result.count == 0) return {.limits = {0}, .counts = {0}};
  const auto filled = [](double count) { return count > 0; };
  const auto first = std::ranges::find_if(counts, filled) - counts.begin();
  const auto end = counts.rend() - std::find_if(counts.rbegin(), counts.rend(), filled);
  const auto begin = std::max<std::ptrdiff_t>(first - 1, 0);
  result.limits.assign(limits.begin() + begin, limits.begin() + end);
  result.counts.assign(counts.begin() + begin, counts.begin() + end);
  return result;
}

}  // namespace miniparallel::tensorboard
