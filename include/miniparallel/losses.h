#pragma once

#include <miniparallel/tensor.h>

#include <cstdint>

/// Losses, and the distances that some of them are made of. As the functions of ops.h, which includes this
/// header: they throw `Error` for what does not fit, and compute in float32 and float64.

namespace miniparallel {

/// The reduction of the losses of the elements or rows: to a tensor without dimensions, or none.
enum class Reduction { mean, sum, none };

// --- classes

struct CrossEntropyOptions {
  Reduction reduction = Reduction::mean;
  std::int64_t ignore_index = -100;  ///< rows with this target count neither in the sum nor in the mean
  double label_smoothing = 0;        ///< in [0, 1]
  /// (classes): a factor of the loss of each class, by which the mean is weighted too. On any
  /// device, of any dtype.
  Tensor weight = {};
};
/// -log softmax(logits)[target]: logits (n, classes) or (n, classes, ...), target (n) or (n, ...): class
/// indices, int64, int32 or uint8; `Reduction::none` gives the target's shape. A class out of range is an
/// `Error`, on a GPU at the next `synchronize` or `step`.
///
/// A target of the logits' shape and dtype holds probabilities: minus the sum of probability times log
/// softmax, whose mean is over rows. This form and weights are made of other ops, the other is one kernel.
Tensor cross_entropy(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& options = {});

struct NllLossOptions {
  Reduction reduction = Reduction::mean;
  std::int64_t ignore_index = -100;
  Tensor weight = {};  ///< as in `CrossEntropyOptions`
};
/// As `cross_entropy` of class indices, of log-probabilities.
Tensor nll_loss(const Tensor& log_probabilities, const Tensor& target, const NllLossOptions& options = {});

// --- x and a target of one shape and dtype

/// (x - target)^2.
Tensor mse_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean);
/// |x - target|.
Tensor l1_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean);

struct SmoothL1LossOptions {
  Reduction reduction = Reduction::mean;
  double beta = 1;  ///< at least 0
};
/// With d = |x - target|: d^2 / (2 beta) below beta, d - beta / 2 from there on.
/// (Girshick: "Fast R-CNN", 2015.)
Tensor smooth_l1_loss(const Tensor& x, const Tensor& target, const SmoothL1LossOptions& options = {});

struct HuberLossOptions {
  Reduction reduction = Reduction::mean;
  double delta = 1;  ///< above 0
};
/// d^2 / 2 up to delta, delta (d - delta / 2) beyond. (Huber: "Robust estimation of
/// a location parameter", 1964.)
Tensor huber_loss(const Tensor& x, const Tensor& target, const HuberLossOptions& options = {});

/// Binary cross entropy of sigmoid(x) and a target in [0, 1], stable for large |x|.
Tensor bce_with_logits(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean);
struct BceWithLogitsOptions {
  Reduction reduction = Reduction::mean;
  Tensor weight = {};      ///< factors of the losses of elements; broadcasts
  Tensor pos_weight = {};  ///< factors of target in the loss: above 1, misses cost more; broadcasts
};
/// The same under PyTorch's name, and with factors, on any device and of any dtype.
Tensor binary_cross_entropy_with_logits(const Tensor& x, const Tensor& target,
                                        const BceWithLogitsOptions& options);
inline Tensor binary_cross_entropy_with_logits(const Tensor& x, const Tensor& target,
                                               Reduction reduction = Reduction::mean) {
  return bce_with_logits(x, target, reduction);
}

struct BinaryCrossEntropyOptions {
  Reduction reduction = Reduction::mean;
  Tensor weight = {};  ///< factors of the losses of elements; broadcasts
};
/// -target log(x) - (1 - target) log(1 - x) of probabilities x. The logarithms are at least -100, with
/// gradient 0 there; `bce_with_logits` is more exact. `Error` for x outside [0, 1] on the CPU; on a GPU that
/// would wait for the elements.
Tensor binary_cross_entropy(const Tensor& x, const Tensor& target,
                            const BinaryCrossEntropyOptions& options = {});

struct KlDivOptions {
  Reduction reduction = Reduction::mean;
  bool batch_mean = false;  ///< the mean is over rows, not elements: the divergence as it is defined
  bool log_target = false;  ///< the target holds log-probabilities, as x does
};
/// target (log(target) - x) of log-probabilities x: the divergence of target from x; 0 where target is 0.
/// (Kullback, Leibler: "On information and sufficiency", 1951.)
Tensor kl_div(const Tensor& x, const Tensor& target, const KlDivOptions& options = {});

struct GaussianNllLossOptions {
  Reduction reduction = Reduction::mean;
  bool full = false;  ///< with the constant log(2 pi) / 2
  double eps = 1e-6;  ///< the least variance; above 0
};
/// (log(variance) + (x - target)^2 / variance) / 2: x is the mean, `variance` broadcasts.
Tensor gaussian_nll_loss(const Tensor& x, const Tensor& target, const Tensor& variance,
                         const GaussianNllLossOptions& options = {});

struct PoissonNllLossOptions {
  Reduction reduction = Reduction::mean;
  bool log_input = true;  ///< x is the logarithm of the rate
  bool full = false;      ///< with Stirling's formula for log(target!)
  double eps = 1e-8;      ///< is added to a rate before its logarithm
};
/// exp(x) - target x, or rate - target log(rate + eps).
Tensor poisson_nll_loss(const Tensor& x, const Tensor& target, const PoissonNllLossOptions& options = {});
/// log(1 + exp(-target x)) of targets 1 and -1.
Tensor soft_margin_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean);
/// The mean over the last dimension of `bce_with_logits`, weighted by class where `weight` is defined.
Tensor multilabel_soft_margin_loss(const Tensor& x, const Tensor& target, const Tensor& weight = {},
                                   Reduction reduction = Reduction::mean);
/// x where `target` is 1, max(0, margin - x) where it is -1.
Tensor hinge_embedding_loss(const Tensor& x, const Tensor& target, double margin = 1,
                            Reduction reduction = Reduction::mean);
struct MultiMarginLossOptions {
  int p = 1;  ///< 1 or 2
  double margin = 1;
  Tensor weight = {};  ///< (classes): a factor of the loss of each target
  Reduction reduction = Reduction::mean;
};
/// The sum of max(0, margin - x[target] + x[i])^p over the other classes i, over their number: x (n,
/// classes), target (n), int64 or int32.
Tensor multi_margin_loss(const Tensor& x, const Tensor& target, const MultiMarginLossOptions& options = {});

struct CtcLossOptions {
  std::int64_t blank = 0;                 ///< the class of "nothing new"
  bool zero_infinity = false;             ///< a target that does not fit has loss and gradient 0
  Reduction reduction = Reduction::mean;  ///< mean: each loss over the length of its target first
};
/// Connectionist temporal classification: -log of the probability that the classes of `log_probs` (steps, n,
/// classes), floating, taken step by step, are the targets, when repetitions and then blanks are dropped;
/// infinite where there is no way. `targets` (n, length) are padded, or (sum of lengths) joined; the
/// lengths count each item's steps and targets. The gradient is not differentiable. (Graves et
/// al.: "Connectionist temporal classification", 2006.)
Tensor ctc_loss(const Tensor& log_probs, const Tensor& targets,
                const std::vector<std::int64_t>& input_lengths,
                const std::vector<std::int64_t>& target_lengths, const CtcLossOptions& options = {});

// --- distances and the losses made of them

/// max(0, -target (a - b) + margin): 1 where a is to be the larger, -1 where b. Broadcast.
Tensor margin_ranking_loss(const Tensor& a, const Tensor& b, const Tensor& target, double margin = 0,
                           Reduction reduction = Reduction::mean);
/// The `cdist` of every two different rows of x (n, width), in order: (n (n - 1) / 2).
Tensor pdist(const Tensor& x, double p = 2);

/// (sum |a - b + eps|^p)^(1 / p) along the last dimension; p at least 1, or infinity. Broadcast.
Tensor pairwise_distance(const Tensor& a, const Tensor& b, double p = 2, double eps = 1e-6,
                         bool keepdim = false);
/// a b / (|a| |b|) along `dim`, with each length at least eps. Broadcast.
Tensor cosine_similarity(const Tensor& a, const Tensor& b, int dim = 1, double eps = 1e-8);

/// The distance (sum |x - y|^p)^(1 / p) of each row x of a (..., n, width) and each row y of b (..., m,
/// width), p at least 0 as in `norm`: (..., n, m). Leading dimensions broadcast. Gradient 0 where the
/// distance is 0. For p = 2 and more than 25 rows made of a matrix product, as PyTorch does: not exact for
/// distances much smaller than the rows are long.
Tensor cdist(const Tensor& a, const Tensor& b, double p = 2);

struct TripletMarginLossOptions {
  double margin = 1;  ///< above 0
  double p = 2;
  double eps = 1e-6;
  bool swap = false;  ///< the distance of positive and negative counts where it is smaller
  Reduction reduction = Reduction::mean;
};
/// max(0, d(anchor, positive) - d(anchor, negative) + margin), d the `pairwise_distance` along the last
/// dimension. (Balntas et al.: "Learning local feature descriptors with triplets", 2016.)
Tensor triplet_margin_loss(const Tensor& anchor, const Tensor& positive, const Tensor& negative,
                           const TripletMarginLossOptions& options = {});

struct CosineEmbeddingLossOptions {
  double margin = 0;
  Reduction reduction = Reduction::mean;
};
/// With c the cosine of the rows of a and b (n, width): 1 - c where `target` (n) is 1, max(0, c - margin)
/// where it is
/// -1.
Tensor cosine_embedding_loss(const Tensor& a, const Tensor& b, const Tensor& target,
                             const CosineEmbeddingLossOptions& options = {});

}  // namespace miniparallel
