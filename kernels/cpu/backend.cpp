#include "kernels/cpu/backend.h"

namespace miniparallel::kernels {

const Backend& cpu_backend() {
#define MP_LAUNCHERS(Family, name) .name = cpu::name(),
  static const Backend backend{MP_FAMILIES(MP_LAUNCHERS)};
#undef MP_LAUNCHERS
  return backend;
}

}  // namespace miniparallel::kernels
