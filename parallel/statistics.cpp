#include "parallel/statistics.h"

#include <miniparallel/autograd.h>
#include <miniparallel/ops.h>

#include <algorithm>
#include <map>
#include <utility>

namespace miniparallel::parallel {
namespace {

/// One call of one layer, as all replicas made it.
struct Merged {
  RunningStatistics running;  // the master's
  std::vector<BatchStatistics> parts;
};

/// Calls of layers that each replica had the same share of, and in one dtype: their statistics go together.
struct Group {
  std::vector<double> shares;
  DType dtype;
  std::vector<std::size_t> calls;
};

std::int64_t count_of(const Merged& call) {
  std::int64_t count = 0;
  for (const BatchStatistics& part : call.parts) count += part.count;
  return count;
}

std::vector<Group> group(const std::vector<Merged>& calls) {
  std::vector<Group> groups;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const Merged& call = calls[i];
    const auto count = static_cast<double>(count_of(call));
    std::vector<double> shares;
    for (const BatchStatistics& part : call.parts) shares.push_back(static_cast<double>(part.count) / count);
    const DType dtype = call.parts[0].mean.dtype();
    const auto same = [&](const Group& of) { return of.shares == shares && of.dtype == dtype; };
    auto found = std::ranges::find_if(groups, same);
    if (found == groups.end()) found = groups.insert(found, {std::move(shares), dtype, {}});
    found->calls.push_back(i);
  }
  return groups;
}

/// Means and variances of a part of all calls, (2, channels of all calls), by one copy.
Tensor pack(const std::vector<Merged>& calls, const Group& group, std::size_t part, Device device) {
  std::vector<Tensor> all;
  for (const std::size_t i : group.calls) all.push_back(calls[i].parts[part].mean);
  for (const std::size_t i : group.calls) all.push_back(calls[i].parts[part].variance);
  return cat(all).view({2, -1}).to(device);
}

/// Mean and variance of what all parts saw, (channels of all calls) each.
std::pair<Tensor, Tensor> merge(const std::vector<Merged>& calls, const Group& group, Device device) {
  std::vector<Tensor> parts;
  for (std::size_t part = 0; part < group.shares.size(); ++part)
    parts.push_back(pack(calls, group, part, device));
  if (parts.size() == 1) return {parts[0][0], parts[0][1]};
  Tensor mean, variance;
  for (std::size_t part = 0; part < parts.size(); ++part) {
    const Tensor weighted = parts[part][0] * group.shares[part];
    mean = mean.defined() ? mean + weighted : weighted;
  }
  for (std::size_t part = 0; part < parts.size(); ++part) {
    const Tensor spread = (parts[part][1] + square(parts[part][0] - mean)) * group.shares[part];
    variance = variance.defined() ? variance + spread : spread;
  }
  return {mean, variance};
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
  std::vector<BatchStatistics> merged(calls.size());
  for (const Group& of : group(calls)) {
    const auto [mean, variance] = merge(calls, of, calls[of.calls[0]].running.mean.device());
    std::int64_t first = 0;
    for (const std::size_t i : of.calls) {
      const std::int64_t channels = calls[i].running.mean.numel();
      merged[i] = {mean.narrow(0, first, channels), variance.narrow(0, first, channels), count_of(calls[i])};
      first += channels;
    }
  }
  // In the order of the calls, of which several may be one layer's.
  for (std::size_t i = 0; i < calls.size(); ++i) update(calls[i].running, merged[i]);
}

}  // namespace miniparallel::parallel
