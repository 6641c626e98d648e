#include <miniparallel/nn/parameter.h>

namespace miniparallel::nn {

Parameter::Parameter(const Tensor& value) : Parameter(value, value.is_floating()) {}

Parameter::Parameter(const Tensor& value, bool requires_grad) : Tensor(value.detach()) {
  if (requires_grad) requires_grad_();
}

Buffer::Buffer(const Tensor& value) : Tensor(value.detach()) {}

}  // namespace miniparallel::nn
