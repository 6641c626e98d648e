#include "kernels/cpu/backend.h"

namespace miniparallel::kernels {

const Backend& cpu_backend() {
  static const Backend backend{
      .elementwise = cpu::elementwise(),
      .matmul = cpu::matmul(),
      .optimizer = cpu::optimizer(),
      .reduce = cpu::reduce(),
  };
  return backend;
}

}  // namespace miniparallel::kernels
