#pragma once

#include <miniparallel/ops.h>

#include <cstdint>
#include <type_traits>
#include <utility>

/// How `DataParallel::loss` takes the loss of each part of a batch, so that the parts can be put together
/// exactly: as a sum and a count where the criterion says how it reduces, as the mean of its rows otherwise.
namespace miniparallel::parallel {

/// A function of ops.h with its options, such as `cross_entropy`: the form of the criteria of nn/loss.h.
template <class Options>
struct FunctionCriterion {
  Tensor (*function)(const Tensor&, const Tensor&, Options);
  std::remove_cvref_t<Options> options = {};
  Tensor operator()(const Tensor& output, const Tensor& target) const {
    return function(output, target, options);
  }
};

template <class Criterion>
Criterion criterion_of(Criterion criterion) {
  return criterion;
}
template <class Options>
FunctionCriterion<Options> criterion_of(Tensor (*function)(const Tensor&, const Tensor&, Options)) {
  return {function};
}

/// Where a criterion keeps how it reduces; null for one that does not say, such as a lambda.
template <class Criterion>
Reduction* reduction_of(Criterion& criterion) {
  if constexpr (requires { criterion.reduction = Reduction::sum; })
    return &criterion.reduction;
  else if constexpr (requires { criterion.options.reduction = Reduction::sum; })
    return &criterion.options.reduction;
  else if constexpr (requires { criterion.options = Reduction::sum; })
    return &criterion.options;
  else
    return nullptr;
}

/// The loss of one part of a batch.
struct PartialLoss {
  Tensor loss;
  Tensor counted;          ///< targets in a sum, where some may be ignored or weigh more; else undefined
  double weight = 1;       ///< elements in a sum, or rows in a mean
  bool is_mean = false;    ///< of all parts together: by `counted` or `weight`
  bool is_summed = false;  ///< `loss` is the sum of what the mean is taken of
};

/// What the mean of the losses of a part is divided by: the number of targets that are not ignored, or the
/// sum of the weights of their classes; of probabilities the number of rows.
Tensor counted_targets(const Tensor& target, std::int64_t ignore_index, const Tensor& weight);

/// The criterion's value for a part of `rows` rows; one that says it takes a mean takes the sum.
template <class Criterion, class Output, class Target>
PartialLoss partial_loss(Criterion criterion, const Output& output, const Target& target, std::int64_t rows) {
  Reduction* const reduction = reduction_of(criterion);
  PartialLoss part;
  if (reduction == nullptr) {
    part.loss = criterion(output, target);
    part.is_mean = true;
    part.weight = static_cast<double>(rows);
    return part;
  }
  part.is_mean = part.is_summed = *reduction == Reduction::mean;
  if (part.is_mean) *reduction = Reduction::sum;
  part.loss = criterion(output, target);
  if constexpr (requires { criterion.options.ignore_index, criterion.options.weight; })
    part.counted = counted_targets(target, criterion.options.ignore_index, criterion.options.weight);
  else if constexpr (requires { criterion.options.ignore_index; })
    part.counted = sum(target != criterion.options.ignore_index);
  else if constexpr (requires { criterion.options.batch_mean; })
    part.weight = static_cast<double>(criterion.options.batch_mean ? rows : output.numel());
  else if constexpr (std::is_same_v<Output, Tensor>)
    part.weight = static_cast<double>(output.numel());
  return part;
}

/// The loss of the whole batch, on `device`: the mean or the sum that one device would have taken, or the
/// losses of all rows along `dim` where the criterion does not reduce.
Tensor join_losses(const std::vector<PartialLoss>& parts, Device device, int dim);

}  // namespace miniparallel::parallel
