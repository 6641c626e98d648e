#pragma once

#include <miniparallel/parallel/options.h>

#include "engine/tensor/arena.h"
#include "parallel/buckets.h"
#include "parallel/partition.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace miniparallel::parallel {

/// Gradients of a model's parameters on one device, each in its place of an arena; not all of
/// them need be there.
struct Gradients {
  Arena arena;
  std::vector<char>
      has;  ///< by parameter: threads write theirs at the same time; no entries without an arena

  bool empty() const { return has.empty(); }
};

/// Adds the bucket's gradients of `from`, on the same device, to `into`.
void add(const Gradients& from, Gradients& into, Bucket bucket);

/// Where sums of gradients are written: all to one arena, on the first replica's device, or the shards of
/// each device to an arena of its own. They may be arenas of gradients.
struct Sums {
  std::vector<const Arena*> arenas;      ///< by device
  const Partition* partition = nullptr;  ///< null where there is one arena
};

/// Writes the sum of the gradients of each of the bucket's parameters to its place; parts[i] are those of
/// replica i, or null. Neighbours that the same replicas have are summed together. Returns the bytes that
/// devices read and write of one another.
std::int64_t sum_gradients(const std::vector<const Gradients*>& parts, const Sums& sums, Bucket bucket,
                           GradientReduction reduction);

}  // namespace miniparallel::parallel
