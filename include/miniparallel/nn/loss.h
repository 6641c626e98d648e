#pragma once

#include <miniparallel/ops.h>

#include <cstdint>
#include <vector>

/// The losses of losses.h as objects that keep their options: `nn::CrossEntropyLoss loss{{.label_smoothing =
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
  Tensor weight = {}, pos_weight = {};  ///< as in `BceWithLogitsOptions`
  Tensor operator()(const Tensor& x, const Tensor& target) const {
    return binary_cross_entropy_with_logits(
        x, target, {.reduction = reduction, .weight = weight, .pos_weight = pos_weight});
  }
};
struct BCELoss {
  BinaryCrossEntropyOptions options = {};
  Tensor operator()(const Tensor& x, const Tensor& target) const {
    return binary_cross_entropy(x, target, options);
  }
};
struct SmoothL1Loss {
  SmoothL1LossOptions options = {};
  Tensor operator()(const Tensor& x, const Tensor& target) const {
    return smooth_l1_loss(x, target, options);
  }
};
struct HuberLoss {
  HuberLossOptions options = {};
  Tensor operator()(const Tensor& x, const Tensor& target) const { return huber_loss(x, target, options); }
};
struct KLDivLoss {
  KlDivOptions options = {};
  Tensor operator()(const Tensor& log_probabilities, const Tensor& target) const {
    return kl_div(log_probabilities, target, options);
  }
};
struct GaussianNLLLoss {
  GaussianNllLossOptions options = {};
  Tensor operator()(const Tensor& x, const Tensor& target, const Tensor& variance) const {
    return gaussian_nll_loss(x, target, variance, options);
  }
};
struct TripletMarginLoss {
  TripletMarginLossOptions options = {};
  Tensor operator()(const Tensor& anchor, const Tensor& positive, const Tensor& negative) const {
    return triplet_margin_loss(anchor, positive, negative, options);
  }
};
struct CosineEmbeddingLoss {
  CosineEmbeddingLossOptions options = {};
  Tensor operator()(const Tensor& a, const Tensor& b, const Tensor& target) const {
    return cosine_embedding_loss(a, b, target, options);
  }
};

struct PoissonNLLLoss {
  PoissonNllLossOptions options = {};
  Tensor operator()(const Tensor& x, const Tensor& target) const {
    return poisson_nll_loss(x, target, options);
  }
};
struct SoftMarginLoss {
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Tensor& x, const Tensor& target) const {
    return soft_margin_loss(x, target, reduction);
  }
};
struct MultiLabelSoftMarginLoss {
  Tensor weight = {};
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Tensor& x, const Tensor& target) const {
    return multilabel_soft_margin_loss(x, target, weight, reduction);
  }
};
struct MultiMarginLoss {
  MultiMarginLossOptions options = {};
  Tensor operator()(const Tensor& x, const Tensor& target) const {
    return multi_margin_loss(x, target, options);
  }
};
struct HingeEmbeddingLoss {
  double margin = 1;
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Tensor& x, const Tensor& target) const {
    return hinge_embedding_loss(x, target, margin, reduction);
  }
};
struct CTCLoss {
  CtcLossOptions options = {};
  Tensor operator()(const Tensor& log_probs, const Tensor& targets,
                    const std::vector<std::int64_t>& input_lengths,
                    const std::vector<std::int64_t>& target_lengths) const {
    return ctc_loss(log_probs, targets, input_lengths, target_lengths, options);
  }
};
struct MarginRankingLoss {
  double margin = 0;
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Tensor& a, const Tensor& b, const Tensor& target) const {
    return margin_ranking_loss(a, b, target, margin, reduction);
  }
};

}  // namespace miniparallel::nn
