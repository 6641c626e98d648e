#pragma once

#include "engine/ops/running_statistics.h"
#include "engine/tensor/arena.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace miniparallel::parallel {

/// One block of memory for the statistics of the batch normalisations of a forward: replica after replica -
/// each is a part of the batch - the mean and the variance of call after call.
class StatisticsPlaces {
 public:
  StatisticsPlaces() = default;
  /// For calls like these, of one dtype, in each part.
  StatisticsPlaces(const std::vector<BatchStatistics>& calls, std::size_t parts, Device device);
  /// The same places in new memory, not initialised.
  StatisticsPlaces on(Device device) const;

  std::size_t parts() const { return parts_; }
  /// Whether a call with this number has places, and of this size.
  bool fit(std::size_t call, std::int64_t channels, DType dtype) const;
  BatchStatistics at(std::size_t part, std::size_t call, std::int64_t count) const;
  bool hold(std::size_t part, std::size_t call, const BatchStatistics& batch) const;
  /// Elements from a place to the same one of the next part.
  std::int64_t stride() const;
  /// Copies parts `first` to `last` of such places on another device.
  void copy(const StatisticsPlaces& from, std::size_t first, std::size_t last);

 private:
  std::size_t index(std::size_t part, std::size_t call) const { return 2 * (part * calls_ + call); }
  Tensor run(std::size_t first, std::size_t last) const;

  std::size_t calls_ = 0, parts_ = 0;
  Arena arena_;
};

}  // namespace miniparallel::parallel
