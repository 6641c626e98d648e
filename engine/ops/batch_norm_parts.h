#pragma once

#include "engine/ops/running_statistics.h"

#include <span>

/// Batch normalisation in training of a batch that is divided among several threads, by the statistics of the
/// whole: each thread computes those of its part, they meet, one of them merges the parts, and each
/// normalises its own.

namespace miniparallel {

/// What a thread brings to the meeting, and what it takes away.
struct BatchNormPart {
  Tensor x, weight, bias;  ///< contiguous, or x channels-last; the last two may be undefined
  double eps = 0;
  RunningStatistics running;
  Tensor statistics;  ///< (3, channels): count, mean and biased variance of the part
  Tensor y;           ///< the result, not yet written

  Tensor mean = {}, inv_std = {};  ///< of the whole batch, on the part's device
  BatchStatistics whole = {};      ///< of the whole batch; the first part's alone, the others' stays empty
};

/// Merges the statistics of all parts, in order, on the first one's device, and records the op as one node
/// for all of them, which sums over the whole batch in backward, so that no thread waits for another there.
/// Throws `Error` where the parts are not of one layer. Waits for no device.
void join_parts(std::span<BatchNormPart* const> parts);

class BatchNormMeeting {
 public:
  /// Returns when each thread has brought its part and one of them has joined them.
  virtual void meet(BatchNormPart& part) = 0;

 protected:
  ~BatchNormMeeting() = default;
};

/// While it lives, the calling thread's batch normalisations in training are parts that meet others there;
/// wholes again with null.
class BatchNormMeetingScope {
 public:
  explicit BatchNormMeetingScope(BatchNormMeeting* meeting);
  ~BatchNormMeetingScope();
  BatchNormMeetingScope(const BatchNormMeetingScope&) = delete;
  BatchNormMeetingScope& operator=(const BatchNormMeetingScope&) = delete;

 private:
  BatchNormMeeting* previous_;
};

/// Where the calling thread's parts meet others; null outside of every scope.
BatchNormMeeting* batch_norm_meeting();

/// `batch_norm` of a part: x, weight and bias, which lie as above, have been checked.
Tensor batch_norm_part(const Tensor& x, const Tensor& weight, const Tensor& bias,
                       const RunningStatistics& running, double eps, BatchNormMeeting& meeting);

}  // namespace miniparallel
