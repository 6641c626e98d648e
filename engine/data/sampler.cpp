#include <miniparallel/data/sampler.h>

#include "engine/error.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace miniparallel::data {

Sampler in_order() {
  return [](std::int64_t size, RandomStream&) {
    std::vector<std::int64_t> order(static_cast<std::size_t>(size));
    std::iota(order.begin(), order.end(), 0);
    return order;
  };
}

Sampler shuffled() {
  return [](std::int64_t size, RandomStream& random) {
    std::vector<std::int64_t> order = in_order()(size, random);
    // Fisher and Yates; std::shuffle gives another order on every platform.
    for (std::size_t left = order.size(); left > 1; --left) {
      std::swap(order[left - 1],
                order[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(left)))]);
    }
    return order;
  };
}

Sampler weighted(std::vector<double> weights, std::int64_t count) {
  double total = 0;
  for (double& weight : weights) {
    check(weight >= 0 && std::isfinite(weight), "weighted: a weight is ", weight,
          "; it must be finite and at least 0");
    weight = total += weight;  // from here on the running sum
  }
  check(total > 0, "weighted: all weights are 0; at least one must be above 0");
  check(count >= 0, "weighted: count is ", count, "; it must be at least 0");
  return [sums = std::move(weights), count](std::int64_t size, RandomStream& random) {
    check(size == std::ssize(sums), "weighted: ", std::ssize(sums), " weights for a dataset of ", size,
          " examples; give one for each");
    std::vector<std::int64_t> order(static_cast<std::size_t>(count));
    for (std::int64_t& index : order) {
      const auto at = std::ranges::upper_bound(sums, random.uniform() * sums.back());
      // Rounding may lead to the end, beyond the last example with a weight.
      index = std::min(at, std::ranges::lower_bound(sums, sums.back())) - sums.begin();
    }
    return order;
  };
}

}  // namespace miniparallel::data
