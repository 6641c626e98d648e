#pragma once

#include <miniparallel/tensor.h>

#include <cstdint>
#include <vector>

namespace miniparallel::parallel {

/// What one replica adds to a sum.
struct Part {
  int rank;  ///< the replica's place in the list
  Tensor values;
};

/// sum = the parts, contiguous tensors of one number of elements and one dtype, in rising order of their ranks,
/// added in a balanced binary tree over the ranks: the order of `autograd::Recorder`, whatever devices the parts
/// are on. Ranks without a part are left out; what is of 16 bits is summed in float32. Parts of one device that
/// make a whole subtree are summed there, so that their sum alone is copied. `sum` may be a part. Returns the
/// bytes copied between devices. Not recorded.
std::int64_t sum_parts(std::vector<Part> parts, const Tensor& sum);

}  // namespace miniparallel::parallel
