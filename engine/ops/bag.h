#pragma once

#include <miniparallel/tensor.h>

#include <cstdint>

namespace miniparallel {

/// Which rows of a table make each of the bags: see kernels::BagArgs.
struct Bags {
  const char* op;
  Tensor index;        ///< int64 or int32, a contiguous vector
  std::int64_t count;  ///< of bags
  std::int64_t skip = -1;
  Tensor ends = {};    ///< int64 (count); undefined: all bags have as many
  Tensor bag_of = {};  ///< int64: the bag of each index, where there are ends
};

/// table (rows, width), factors (indices) or undefined -> (bags, width): the sums of the rows that the
/// indices name, times their factors. float32 and float64; differentiable by both.
Tensor bag_sums(const Bags& bags, const Tensor& table, const Tensor& factors = {});

}  // namespace miniparallel
