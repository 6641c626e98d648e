#pragma once

#include <miniparallel/parallel/replicate.h>

#include "parallel/statistics_places.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace miniparallel::parallel {

/// The statistics of one replica's batch normalisations in a forward, in the order of their calls.
class CollectedStatistics final : public StatisticsSink {
 public:
  struct Call {
    RunningStatistics running;
    BatchStatistics batch;
  };
  /// They are written to part `part` of `places`, as far as the calls are like those that these were made
  /// for. `rows`: of the whole batch. `parts`: replicas that have some.
  CollectedStatistics(StatisticsPlaces places, std::size_t part, std::int64_t rows, std::size_t parts)
      : places_(std::move(places)), part_(part), rows_(rows), parts_(parts) {}

  BatchStatistics place(std::int64_t channels, DType dtype, Device device, std::int64_t count) override {
    return places_.fit(calls_.size(), channels, dtype) ? places_.at(part_, calls_.size(), count)
                                                       : make_statistics(channels, dtype, device, count);
  }
  void add(const RunningStatistics& running, const BatchStatistics& batch) override {
    calls_.push_back({running, batch});
  }
  std::string advice_on_one_value() const override;
  const std::vector<Call>& calls() const { return calls_; }
  const StatisticsPlaces& places() const { return places_; }
  bool is_in_place(std::size_t call, const BatchStatistics& batch) const {
    return places_.hold(part_, call, batch);
  }

 private:
  StatisticsPlaces places_;
  std::size_t part_;
  std::int64_t rows_;
  std::size_t parts_;
  std::vector<Call> calls_;
};

/// Sinks for the statistics of replicas on these devices, which share `rows` rows, with places in
/// one block on each.
std::vector<CollectedStatistics> collect_statistics(const StatisticsPlaces& planned,
                                                    const std::vector<Device>& devices, std::int64_t rows);

/// Updates the master's running statistics as one device would have done with the whole batch: the statistics
/// of each call of each layer are merged over the replicas. `replicas[i]` is the number of the replica that
/// collected[i] comes from. Writes to `planned` what places the next forward should have.
void merge_statistics(const ReplicaTensors& tensors, const std::vector<std::size_t>& replicas,
                      const std::vector<CollectedStatistics>& collected, StatisticsPlaces& planned);

}  // namespace miniparallel::parallel
