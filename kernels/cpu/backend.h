#pragma once

#include "kernels/backend.h"

namespace miniparallel::kernels::cpu {

#define MP_DECLARE(Family, name) const Family& name();
MP_FAMILIES(MP_DECLARE)
#undef MP_DECLARE

}  // namespace miniparallel::kernels::cpu
