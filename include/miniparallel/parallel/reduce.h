#pragma once

#include <miniparallel/parallel/options.h>
#include <miniparallel/tensor.h>

#include <vector>

namespace miniparallel::parallel {

/// The sum of tensors of one shape and floating dtype on several devices, on `device`. They are added in a
/// balanced binary tree over their places in the list, whose left part is the largest power of two below
/// their number, those of 16 bits in float32: the same bits wherever they are. Each gets the gradient on its
/// device. Throws `Error` if shapes or dtypes differ.
Tensor reduce_add(const std::vector<Tensor>& tensors, Device device);

/// The tensor on each of the devices, as one node of the graph: its gradient is `reduce_add` of theirs. On
/// the tensor's own device the result shares its elements.
std::vector<Tensor> broadcast(const Tensor& tensor, const std::vector<Device>& devices);

}  // namespace miniparallel::parallel
