#include <miniparallel/nn/dropout.h>

#include <miniparallel/ops.h>

#include "engine/nn/observer.h"

namespace miniparallel::nn {

Tensor Dropout::operator()(const Tensor& x) const { return observed(*this, dropout(x, p, training)); }
Tensor Dropout2d::operator()(const Tensor& x) const { return observed(*this, dropout2d(x, p, training)); }
Tensor Dropout3d::operator()(const Tensor& x) const { return observed(*this, dropout3d(x, p, training)); }
Tensor AlphaDropout::operator()(const Tensor& x) const {
  return observed(*this, alpha_dropout(x, p, training));
}

}  // namespace miniparallel::nn
