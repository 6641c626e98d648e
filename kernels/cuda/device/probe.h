#pragma once

#include <string>

namespace miniparallel::kernels::cuda {

/// Starts an empty kernel on the device: "" when it runs, else why this build cannot use the device.
std::string probe(int device);

/// The compute capability that the code which runs on the device was compiled for, 10 * major + minor.
int code_architecture(int device);

/// After this devices may be others.
void forget_architectures();

}  // namespace miniparallel::kernels::cuda
