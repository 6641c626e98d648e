#pragma once

#include <cstdint>

namespace miniparallel::nn {

/// How often `train` and `eval` have changed a model.
std::uint64_t count_of_mode_changes();

}  // namespace miniparallel::nn
