#pragma once

#include <miniparallel/device.h>
#include <miniparallel/parallel/chunks.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace miniparallel::parallel {

/// Measures, in the first steps, how many rows a second each device takes through a forward: what
/// `Split::by_speed` divides by.
class SpeedMeter {
 public:
  /// `placement`: the device of each replica.
  explicit SpeedMeter(std::vector<Device> placement)
      : placement_(std::move(placement)), now_(placement_.size()), best_(placement_.size()) {}

  /// Runs `forward`, which takes `rows` rows through a replica, and notes how long its device works on it.
  /// Waits for the device before and after. Replicas may run at the same time.
  void time(std::size_t replica, std::int64_t rows, const std::function<void()>& forward);
  /// Ends a step. It counts if all replicas have run.
  void end_step();
  /// `Split::by_speed` until speeds are known, then their shares.
  Split split() const;

 private:
  static constexpr int kSteps = 4;  // of which the first one warms up

  std::vector<Device> placement_;
  std::vector<double> now_, best_;  // seconds a row, by replica; 0 before the first
  int steps_ = 0;
};

}  // namespace miniparallel::parallel
