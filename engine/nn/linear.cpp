#include <miniparallel/nn/linear.h>

#include <miniparallel/nn/init.h>
#include <miniparallel/ops.h>

#include "engine/error.h"
#include "engine/nn/observer.h"

#include <cmath>

namespace miniparallel::nn {

Linear::Linear(std::int64_t in_features, std::int64_t out_features, const LinearOptions& options)
    : activation(options.activation) {
  check(in_features > 0 && out_features > 0, "Linear: got ", in_features, " features in and ", out_features,
        " out; it needs at least one on each side");
  const double bound = 1 / std::sqrt(static_cast<double>(in_features));
  weight = Parameter(init::uniform_(empty({out_features, in_features}), -bound, bound));
  if (options.bias) bias = Parameter(init::uniform_(empty({out_features}), -bound, bound));
}

Tensor Linear::operator()(const Tensor& x) const {
  return observed(*this, linear(x, weight, bias, activation));
}

}  // namespace miniparallel::nn
