#pragma once

#include <miniparallel/cuda.h>

#include "engine/tensor/arena.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

namespace miniparallel::parallel {

/// Places `begin` to `end` - 1 of an arena.
struct Bucket {
  std::size_t begin, end;
};

/// All places of the arena, the last ones first, since a backward begins at the end of a model. A
/// bucket has at most `bytes`, and the first one a MiB, so that the links soon have work; a larger
/// place is one by itself. A model of up to 4 MiB is one bucket, if `bytes` lets it: a second one would cost
/// the host more time than a link needs for it.
std::vector<Bucket> buckets_of_gradients(const Arena& arena, std::int64_t bytes);
/// All places of the arena, the first ones first, for a forward. The first bucket is small, since nothing
/// runs meanwhile; the others are large enough for the bandwidth of a link. A model of up to 4 MiB is one.
std::vector<Bucket> buckets_of_values(const Arena& arena);

/// What a bucket waits for in one walk: the ends of the graph that bring its gradients, on several devices.
class BucketProgress {
 public:
  /// Before the walk: one end more, on this device.
  void expect(Device device);
  bool is_expected() const { return !devices_.empty(); }
  bool is_expected(Device device) const { return devices_.contains(device); }
  /// An end is complete; called in the thread of its device. True for the bucket's last one.
  bool complete(Device device);
  /// When the last one is: what the calling thread enqueues from now on for a device of the bucket starts
  /// after its gradients there.
  void wait() const;

 private:
  struct OnDevice {
    int left = 0;
    std::optional<Event> done;  // recorded when none is left
  };
  std::mutex mutex_;  // guards what follows, during the walk
  int left_ = 0;
  std::map<Device, OnDevice> devices_;
};

}  // namespace miniparallel::parallel
