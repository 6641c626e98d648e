#pragma once

#include <miniparallel/tensor.h>

#include <functional>
#include <map>
#include <string>

namespace miniparallel {

/// Tensors by name, as a checkpoint keeps them: "conv1.weight".
using StateDict = std::map<std::string, Tensor>;

/// The second half of a load: puts in place the tensors that the first checked, converted and allocated, and
/// does not fail. So several objects are loaded together or not at all.
using PreparedLoad = std::function<void()>;

}  // namespace miniparallel
