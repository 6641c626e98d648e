#pragma once

#include <miniparallel/tensor.h>

namespace miniparallel::parallel {

/// Copies the elements of `from` to `to`, of its shape and dtype, by a kernel of the device of `to`, which
/// reaches the memory of the other. It runs in the calling thread's stream of that device alone: what has
/// written `from` must come before, and what will write there, after it.
void read_peer(Tensor to, const Tensor& from);

}  // namespace miniparallel::parallel
