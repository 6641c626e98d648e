#include <miniparallel/nn/dropout.h>

#include <miniparallel/ops.h>

#include "engine/nn/observer.h"

namespace miniparallel::nn {

Tensor Dropout::operator()(const Tensor& x) const { return observed(*this, dropout(x, p, training)); }
Tensor Dropout2d::operator()(const Tensor& x) const { return observed(*this, dropout2d(x, p, training)); }

}  // namespace miniparallel::nn
