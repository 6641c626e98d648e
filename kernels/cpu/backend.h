#pragma once

#include "kernels/backend.h"

namespace miniparallel::kernels::cpu {

const Elementwise& elementwise();
const Reduce& reduce();

}  // namespace miniparallel::kernels::cpu
