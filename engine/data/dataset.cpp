#include <miniparallel/data/dataset.h>

#include "engine/error.h"

#include <cmath>
#include <numeric>

namespace miniparallel::data::detail {

void check_first_sizes(std::span<const Tensor> tensors) {
  for (const Tensor& tensor : tensors) {
    check(tensor.dim() > 0, "TensorDataset: a tensor has no dimensions; the first must count the examples");
    check(tensor.size(0) == tensors[0].size(0), "TensorDataset: first sizes differ: ", tensors[0].shape(),
          " and ", tensor.shape(), "; it is the number of examples");
  }
}

std::vector<std::int64_t> split_sizes(std::int64_t size, std::span<const double> fractions) {
  double total = 0;
  std::vector<std::int64_t> sizes;
  for (const double fraction : fractions) {
    check(fraction >= 0 && fraction <= 1, "random_split: a fraction is ", fraction,
          "; it must be from 0 to 1");
    total += fraction;
    sizes.push_back(static_cast<std::int64_t>(static_cast<double>(size) * fraction));
  }
  check(std::abs(total - 1) < 1e-6, "random_split: the fractions add up to ", total,
        "; they must add up to 1 (sizes are whole numbers)");
  const std::int64_t left = size - std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
  for (std::int64_t i = 0; i < left; ++i) ++sizes[static_cast<std::size_t>(i) % sizes.size()];
  return sizes;
}

std::vector<std::vector<std::int64_t>> random_parts(std::int64_t size,
                                                    const std::vector<std::int64_t>& sizes) {
  std::int64_t total = 0;
  for (const std::int64_t part : sizes) {
    check(part >= 0, "random_split: a part has size ", part, "; it must be at least 0");
    total += part;
  }
  check(total == size, "random_split: the parts have ", total, " examples, the dataset has ", size,
        "; the two must be equal");
  const std::vector<std::int64_t> order = randperm(size).to_vector<std::int64_t>();
  std::vector<std::vector<std::int64_t>> parts;
  auto next = order.begin();
  for (const std::int64_t part : sizes) {
    parts.emplace_back(next, next + part);
    next += part;
  }
  return parts;
}

}  // namespace miniparallel::data::detail
