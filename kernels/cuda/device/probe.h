#pragma once

#include <string>

namespace miniparallel::kernels::cuda {

/// Starts an empty kernel on the device: "" when it runs, else why this build cannot use the device.
std::string probe(int device);

}  // namespace miniparallel::kernels::cuda
