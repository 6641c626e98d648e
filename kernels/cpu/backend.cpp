#include "kernels/cpu/backend.h"

namespace miniparallel::kernels {

const Backend& cpu_backend() {
  static const Backend backend{
      .conv2d = cpu::conv2d(),
      .elementwise = cpu::elementwise(),
      .matmul = cpu::matmul(),
      .optimizer = cpu::optimizer(),
      .random = cpu::random(),
      .reduce = cpu::reduce(),
  };
  return backend;
}

}  // namespace miniparallel::kernels
