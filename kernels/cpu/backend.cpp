#include "kernels/cpu/backend.h"

namespace miniparallel::kernels {

const Backend& cpu_backend() {
  static const Backend backend{
      .attention = cpu::attention(),
      .conv2d = cpu::conv2d(),
      .cross_entropy = cpu::cross_entropy(),
      .elementwise = cpu::elementwise(),
      .indexing = cpu::indexing(),
      .matmul = cpu::matmul(),
      .norm = cpu::norm(),
      .optimizer = cpu::optimizer(),
      .pointwise_loss = cpu::pointwise_loss(),
      .pool2d = cpu::pool2d(),
      .random = cpu::random(),
      .reduce = cpu::reduce(),
      .softmax = cpu::softmax(),
  };
  return backend;
}

}  // namespace miniparallel::kernels
