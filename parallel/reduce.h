#pragma once

#include <miniparallel/parallel/options.h>

#include "parallel/part.h"

#include <cstdint>
#include <string>
#include <vector>

namespace miniparallel::parallel {

/// sum = the parts, contiguous tensors of one number of elements and one dtype, in rising order of their
/// ranks, added in a balanced binary tree over the ranks: the order of `autograd::Recorder`, whatever
/// devices the parts are on and whatever way they take. Ranks without a part are left out; what is of 16
/// bits is summed in float32. Parts of one device that make a whole subtree are summed there, so that
/// their sum alone crosses a link. `sum` may be a part. Returns the bytes that devices read and write of
/// one another. Not recorded.
std::int64_t sum_parts(std::vector<Part> parts, const Tensor& sum,
                       GradientReduction reduction = GradientReduction::automatic);
/// The same where each device has some of the sum: `shards` are consecutive elements of it, each summed by
/// the device that it is on. Not by NCCL.
std::int64_t sum_parts(std::vector<Part> parts, const std::vector<Tensor>& shards,
                       GradientReduction reduction);

/// How gradients of the devices are summed: what the options say, else the environment variable
/// MINIPARALLEL_REDUCTION, else `automatic`. Throws `Error` for another value there, and where the links do
/// not allow it.
GradientReduction choose_reduction(const std::vector<Device>& devices, GradientReduction wanted);
/// The same in words; `in_shards`: of a sharded optimizer.
std::string describe_reduction(const std::vector<Device>& devices, GradientReduction chosen, bool in_shards);

}  // namespace miniparallel::parallel
