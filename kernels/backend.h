#pragma once

#include "kernels/families.h"

namespace miniparallel::kernels {

/// The launchers of one kind of device, by family.
struct Backend {
#define MP_MEMBER(Family, name) const Family& name;
  MP_FAMILIES(MP_MEMBER)
#undef MP_MEMBER
};

const Backend& cpu_backend();

}  // namespace miniparallel::kernels
