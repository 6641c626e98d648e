#pragma once

#include <miniparallel/tensor.h>

#include <cstdint>
#include <vector>

namespace miniparallel {

/// Views of parts along `dim`, at least 0, that follow one another and cover it, as outputs of one node: the
/// gradient of the whole is written once, however many there are.
std::vector<Tensor> split_whole(const Tensor& whole, const std::vector<std::int64_t>& sizes, int dim);

}  // namespace miniparallel
