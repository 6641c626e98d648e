#pragma once

#include <miniparallel/parallel/replicate.h>

#include "engine/ops/running_statistics.h"

#include <vector>

namespace miniparallel::parallel {

/// The statistics of one replica's batch normalisations in a forward, in the order of their calls.
class CollectedStatistics final : public StatisticsSink {
 public:
  struct Call {
    RunningStatistics running;
    BatchStatistics batch;
  };
  void add(const RunningStatistics& running, const BatchStatistics& batch) override {
    calls_.push_back({running, batch});
  }
  const std::vector<Call>& calls() const { return calls_; }

 private:
  std::vector<Call> calls_;
};

/// Updates the master's running statistics as one device would have done with the whole batch: the statistics of
/// each call of each layer are merged over the replicas, in their order, by counts, means and squared
/// deviations. (Chan, Golub, LeVeque: "Updating formulae and a pairwise algorithm for computing sample
/// variances", 1979.) `replicas[i]` is the number of the replica that collected[i] comes from.
void merge_statistics(const ReplicaTensors& tensors, const std::vector<std::size_t>& replicas,
                      const std::vector<CollectedStatistics>& collected);

}  // namespace miniparallel::parallel
