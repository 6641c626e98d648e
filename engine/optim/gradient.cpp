#include "engine/optim/gradient.h"

#include "engine/ops/common.h"

namespace miniparallel::optim {

Tensor dense_gradient(const char* op, const Tensor& parameter) {
  Tensor gradient = parameter.grad();
  if (!gradient.defined()) return gradient;
  const TensorImpl &have = *gradient.impl(), &want = *parameter.impl();
  check(have.shape == want.shape, op, ": a parameter of shape ", parameter.shape(),
        " has a gradient of shape ", gradient.shape(), "; give set_grad one of the parameter's shape");
  check(have.dtype == want.dtype && have.storage->device() == want.storage->device(), op, ": a parameter of ",
        parameter.dtype(), " on ", parameter.device(), " has a gradient of ", gradient.dtype(), " on ",
        gradient.device(), "; convert it with to(device, dtype), or drop it with zero_grad");
  check(is_floating(have.dtype), op, ": a gradient is ", gradient.dtype(), "; it must be floating");
  if (!have.contiguous) {
    const NoGradGuard no_grad;
    gradient = gradient.contiguous();
    parameter.set_grad(gradient);
  }
  return gradient;
}

}  // namespace miniparallel::optim
