#pragma once

namespace miniparallel {

/// A function at the end of a product (`linear`, nn::Linear) or, `relu` alone, of batch normalisation, where
/// it costs no separate pass over memory on a GPU, forward or backward. `gelu_tanh` is `gelu` by Gelu::tanh,
/// the form that cuBLASLt has. A NaN in the product stays one, except for `relu` on a GPU, whose maximum of 0
/// and NaN may be 0.
enum class Activation { none, relu, gelu_tanh };

}  // namespace miniparallel
