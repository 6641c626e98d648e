#pragma once

#include "kernels/backend.h"

namespace miniparallel::kernels::cpu {

const Elementwise& elementwise();

}  // namespace miniparallel::kernels::cpu
