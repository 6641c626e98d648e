#pragma once
// CUDA's device language for a host compiler: built-in variables, barriers,
// warp operations, atomics and intrinsics, with the names and meanings of
// the CUDA programming guide. Included by the launch header outside nvcc.

#include "miniparallel/simulator/atomics.h"
#include "miniparallel/simulator/builtin_variables.h"
#include "miniparallel/simulator/intrinsics.h"
#include "miniparallel/simulator/launch.h"
#include "miniparallel/simulator/warp.h"

#include <cuda_runtime.h>

/// A hint about registers, which a simulated GPU has no need of.
#ifndef __launch_bounds__
#define __launch_bounds__(...)
#endif
