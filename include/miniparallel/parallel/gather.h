#pragma once

#include <miniparallel/tensor.h>

#include <string>
#include <vector>

namespace miniparallel::parallel {

/// The rows of all tensors, in order, as one tensor on `device`: they are joined along `dim` and copied straight
/// into their places. Tensors without dimensions become a vector with an entry for each. Gradients go back to
/// the device that each part came from. Throws `Error` where shapes differ in another dimension, or dtypes;
/// `path` names the tensors' place in the results of the replicas.
Tensor gather(const std::vector<Tensor>& tensors, Device device, int dim = 0, const std::string& path = {});

}  // namespace miniparallel::parallel
