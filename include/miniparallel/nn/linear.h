#pragma once

#include <miniparallel/activation.h>
#include <miniparallel/model/members.h>
#include <miniparallel/nn/parameter.h>

namespace miniparallel::nn {

struct LinearOptions {
  bool bias = true;
  Activation activation = Activation::none;
};

/// x (..., in) -> activation(x weight^T + bias), (...,
/// out). Weight and bias start uniform within 1 / sqrt(in).
struct Linear {
  Linear(std::int64_t in_features, std::int64_t out_features, const LinearOptions& options = {});
  Tensor operator()(const Tensor& x) const;

  Parameter weight;  ///< (out, in)
  Parameter bias;    ///< (out), or undefined
  Activation activation;
  MINIPARALLEL_MEMBERS(weight, bias, activation)
};

}  // namespace miniparallel::nn
