#pragma once

#include "kernels/norm.h"

namespace miniparallel::kernels::cuda {

/// The launcher of `Norm` with this name, made by running_statistics.cu.
void update_running(DType dtype, const RunningArgs& args, Stream stream);

}  // namespace miniparallel::kernels::cuda
