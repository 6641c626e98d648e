#pragma once

#include "kernels/backend.h"

namespace miniparallel::kernels::cpu {

const Elementwise& elementwise();
const Matmul& matmul();
const Optimizer& optimizer();
const Reduce& reduce();

}  // namespace miniparallel::kernels::cpu
