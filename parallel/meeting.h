#pragma once

#include <miniparallel/parallel/replicate.h>
#include <miniparallel/parallel/scatter.h>

#include "engine/ops/batch_norm_parts.h"
#include "engine/threads/recorder.h"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <vector>

namespace miniparallel::parallel {

/// Where the replicas of one forward meet at each batch normalisation, each in a thread of its own. A meeting
/// is over when every replica has come or has ended its forward: if all have come, the last one joins their
/// parts; otherwise all that have come are released by an exception, which is the same whatever the timing.
class Meeting {
 public:
  /// `recorders[i]` is that of the replica `division.replicas[i]`.
  Meeting(const ReplicaTensors& tensors, const Division& division,
          const std::vector<std::shared_ptr<const autograd::Recorder>>& recorders);

  /// One replica's place, while its forward runs.
  class Seat final : public BatchNormMeeting {
   public:
    Seat(Meeting& meeting, std::size_t i);
    ~Seat();
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;
    /// Throws `Error` where another replica has ended its forward or is at another layer, `Abandoned` where
    /// one has failed.
    void meet(BatchNormPart& part) override { meeting_.meet(i_, part); }

   private:
    Meeting& meeting_;
    std::size_t i_;
    int exceptions_;
    BatchNormMeetingScope scope_{this};
  };

 private:
  struct Replica {
    std::size_t number;
    std::shared_ptr<const autograd::Recorder> recorder;
    BatchNormPart* part = nullptr;  // of a replica that waits
    bool ended = false, failed = false;
    std::exception_ptr error;  // what to throw when the meeting is over
  };

  void meet(std::size_t i, BatchNormPart& part);
  void leave(std::size_t i, bool failed);
  /// With the lock held: ends the meeting if every replica has come or has ended.
  void end_if_complete();
  void join();
  void check_one_layer() const;

  const ReplicaTensors& tensors_;
  std::vector<Replica> replicas_;
  std::mutex mutex_;
  std::condition_variable over_;
};

}  // namespace miniparallel::parallel
