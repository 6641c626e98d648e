#pragma once

#include <miniparallel/tensor.h>

#include <map>
#include <string>

namespace miniparallel {

/// Tensors by name, as a checkpoint keeps them: "conv1.weight".
using StateDict = std::map<std::string, Tensor>;

}  // namespace miniparallel
