#pragma once

#include <miniparallel/tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace miniparallel {

/// Views of parts along `dim`, at least 0, that follow one another and cover it, as outputs of one node: the
/// gradient of the whole is written once, however many there are.
std::vector<Tensor> split_whole(const Tensor& whole, const std::vector<std::int64_t>& sizes, int dim);

/// Memory for the gradients of `parts`, not initialised: where these fill one array, each as the one before
/// but a step further on, tensors that lie in a new array in the same way, so that the gradient of the array
/// is there when they are; else none.
std::vector<Tensor> make_parts_like(std::span<const Tensor> parts);

}  // namespace miniparallel
