#pragma once

#include <miniparallel/model/members.h>
#include <miniparallel/nn/parameter.h>

namespace miniparallel::nn {

struct LinearOptions {
  bool bias = true;
};

/// x (..., in) -> x weight^T + bias, (..., out). Both start uniform within 1 / sqrt(in).
struct Linear {
  Linear(std::int64_t in_features, std::int64_t out_features, const LinearOptions& options = {});
  Tensor operator()(const Tensor& x) const;

  Parameter weight;  ///< (out, in)
  Parameter bias;    ///< (out), or undefined
  MINIPARALLEL_MEMBERS(weight, bias)
};

}  // namespace miniparallel::nn
