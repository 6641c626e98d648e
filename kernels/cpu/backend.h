#pragma once

#include "kernels/backend.h"

namespace miniparallel::kernels::cpu {

const Conv2d& conv2d();
const Elementwise& elementwise();
const Matmul& matmul();
const Optimizer& optimizer();
const Random& random();
const Reduce& reduce();

}  // namespace miniparallel::kernels::cpu
