#include "parallel/statistics.h"

#include <miniparallel/autograd.h>
#include <miniparallel/ops.h>

#include <map>
#include <utility>

namespace miniparallel::parallel {
namespace {

/// One call of one layer, as all replicas made it.
struct Merged {
  RunningStatistics running;  // the master's
  std::vector<BatchStatistics> parts;
};

BatchStatistics merge(const std::vector<BatchStatistics>& parts, Device device) {
  if (parts.size() == 1) return {parts[0].mean.to(device), parts[0].variance.to(device), parts[0].count};
  BatchStatistics all;
  for (const BatchStatistics& part : parts) all.count += part.count;
  const auto share = [&all](const BatchStatistics& part) {
    return static_cast<double>(part.count) / static_cast<double>(all.count);
  };
  std::vector<Tensor> means;
  for (const BatchStatistics& part : parts) {
    means.push_back(part.mean.to(device));
    const Tensor weighted = means.back() * share(part);
    all.mean = all.mean.defined() ? all.mean + weighted : weighted;
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Tensor spread = (parts[i].variance.to(device) + square(means[i] - all.mean)) * share(parts[i]);
    all.variance = all.variance.defined() ? all.variance + spread : spread;
  }
  return all;
}

}  // namespace

void merge_statistics(const ReplicaTensors& tensors, const std::vector<std::size_t>& replicas,
                      const std::vector<CollectedStatistics>& collected) {
  const NoGradGuard no_grad;
  std::vector<Merged> calls;  // in the order of the first replica's calls
  std::map<std::pair<const TensorImpl*, int>, std::size_t> index;  // by running mean and number of the call
  for (std::size_t i = 0; i < collected.size(); ++i) {
    std::map<const TensorImpl*, int> count;
    for (const CollectedStatistics::Call& call : collected[i].calls()) {
      const auto of_master = [&](const Tensor& buffer) {
        return buffer.defined() ? tensors.master_buffer(replicas[i], buffer) : Tensor();
      };
      const RunningStatistics running{of_master(call.running.mean), of_master(call.running.var),
                                      of_master(call.running.num_batches_tracked), call.running.momentum};
      if (!running.mean.defined()) continue;  // not the model's
      const TensorImpl* const key = running.mean.impl().get();
      const auto [entry, fresh] = index.try_emplace({key, count[key]++}, calls.size());
      if (fresh) calls.push_back({running, {}});
      calls[entry->second].parts.push_back(call.batch);
    }
  }
  for (const Merged& call : calls) update(call.running, merge(call.parts, call.running.mean.device()));
}

}  // namespace miniparallel::parallel
