#include <miniparallel/parallel/criterion.h>

#include <miniparallel/parallel/gather.h>

#include "engine/ops/loss.h"

namespace miniparallel::parallel {

Tensor counted_targets(const Tensor& target, std::int64_t ignore_index, const Tensor& weight) {
  if (target.is_floating()) return scalar_tensor(target.numel() / target.size(1), target.device());
  if (!weight.defined()) return sum(target != ignore_index);
  return sum(target_weights(target, ignore_index, weight.to(target.device())));
}

Tensor join_losses(const std::vector<PartialLoss>& parts, Device device, int dim) {
  std::vector<Tensor> losses;
  double weight = 0;
  for (const PartialLoss& part : parts) {
    losses.push_back(part.loss);
    weight += part.weight;
  }
  const PartialLoss& first = parts[0];
  if (first.is_mean && !first.is_summed)  // a lambda's: weighted by rows
    for (std::size_t i = 0; i < parts.size(); ++i)
      if (losses[i].dim() == 0) losses[i] = losses[i] * (parts[i].weight / weight);
  Tensor all = gather_rows(losses, device, dim);
  if (first.loss.dim() > 0) return all;
  Tensor total = sum(all);
  if (!first.is_summed) return total;
  if (!first.counted.defined()) return total / weight;
  std::vector<Tensor> counts;
  for (const PartialLoss& part : parts) counts.push_back(part.counted);
  return total / sum(gather_rows(counts, device)).to(total.dtype());
}

}  // namespace miniparallel::parallel
