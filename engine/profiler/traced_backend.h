#pragma once

#include "kernels/backend.h"

namespace miniparallel::profiler {

/// The launchers of `plain`, each within a span under its name and with its sizes. `is_cpu`: whether `plain`
/// is the CPU's, else the one of the GPUs.
const kernels::Backend& traced_backend(const kernels::Backend& plain, bool is_cpu);

}  // namespace miniparallel::profiler
