#pragma once

#include <miniparallel/data/example_random.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace miniparallel::data {

/// Which of `size` examples an epoch visits, in which order: indices from 0 to size - 1, some of them several
/// times or not at all. `random` is the epoch's own.
using Sampler = std::function<std::vector<std::int64_t>(std::int64_t size, RandomStream& random)>;

/// 0, 1, 2, ...
Sampler in_order();

/// Every example once, all orders equally likely.
Sampler shuffled();

/// `count` examples, drawn with replacement; example i with a probability in proportion to `weights[i]`. For
/// classes of different size: 1 / (size of its class) for each example. Throws `Error` for weights below 0,
/// not finite or all 0; the loop throws it where there is not one weight for each example.
Sampler weighted(std::vector<double> weights, std::int64_t count);

}  // namespace miniparallel::data
