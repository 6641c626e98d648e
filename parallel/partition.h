#pragma once

#include "engine/tensor/arena.h"
#include "parallel/buckets.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace miniparallel::parallel {

/// Which of several devices owns which elements of an arena: each an equal share of every bucket. It sums
/// their gradients, steps them, and sends them to the others.
class Partition {
 public:
  /// Shards end at multiples of this many elements of a bucket, lines of a GPU's caches, or where places do.
  static constexpr std::int64_t kUnit = 128;

  /// `is_trained`: of each place. Shares are equal, to kUnit elements over all buckets, among the trained
  /// elements of each dtype, which alone have gradients and an optimizer's states, and among the others.
  Partition(const Arena& arena, const std::vector<Bucket>& buckets, const std::vector<bool>& is_trained,
            std::size_t devices);

  /// Elements `begin` to `end` - 1 of the block of a dtype.
  struct Shard {
    std::size_t device;
    std::int64_t begin, end;
  };
  /// Those that the elements from `begin` to before `end` consist of, in order.
  std::vector<Shard> shards(DType dtype, std::int64_t begin, std::int64_t end) const;
  /// The same of a run of elements in any arena with these places.
  std::vector<Shard> shards(const Tensor& run) const;
  /// Whether all these elements are the device's.
  bool owns(std::size_t device, DType dtype, std::int64_t begin, std::int64_t end) const;

 private:
  void give(DType dtype, const Shard& shard);

  std::map<DType, std::vector<Shard>> shards_;  // in rising order
};

/// Elements `begin` to `end` - 1 of the arena's block of a dtype.
Tensor elements_of(const Arena& arena, DType dtype, std::int64_t begin, std::int64_t end);

}  // namespace miniparallel::parallel
