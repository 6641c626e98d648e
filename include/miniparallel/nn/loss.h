#pragma once

#include <miniparallel/ops.h>

/// The losses of ops.h as objects that keep their options: `nn::CrossEntropyLoss loss{{.label_smoothing =
/// 0.1}};`.
namespace miniparallel::nn {

struct CrossEntropyLoss {
  CrossEntropyOptions options = {};
  Tensor operator()(const Tensor& logits, const Tensor& target) const {
    return cross_entropy(logits, target, options);
  }
};
struct NLLLoss {
  NllLossOptions options = {};
  Tensor operator()(const Tensor& log_probabilities, const Tensor& target) const {
    return nll_loss(log_probabilities, target, options);
  }
};
struct MSELoss {
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Tensor& x, const Tensor& target) const { return mse_loss(x, target, reduction); }
};
struct L1Loss {
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Tensor& x, const Tensor& target) const { return l1_loss(x, target, reduction); }
};
struct BCEWithLogitsLoss {
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Tensor& x, const Tensor& target) const {
    return bce_with_logits(x, target, reduction);
  }
};

}  // namespace miniparallel::nn
