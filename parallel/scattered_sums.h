#pragma once

#include "engine/tensor/arena.h"
#include "engine/tensor/pending.h"
#include "parallel/partition.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace miniparallel {
class Storage;
}

namespace miniparallel::parallel {

/// The sums of gradients of one dtype, of which each device has its own shards, the first one in a block
/// whose places are the parameters' `grad`. Most often the devices step their shards, and nobody looks at
/// `grad`. Whoever uses an element that is not there has all of them brought first.
class ScatteredSums final : public Pending::Deferred {
 public:
  /// Defers it in the blocks of `sums[0]`; sums[i] are those of device i. `bytes` grows by what is brought.
  static void defer(const std::vector<const Arena*>& sums, const std::shared_ptr<const Partition>& partition,
                    const std::shared_ptr<std::atomic<std::int64_t>>& bytes);
  /// Takes it back: the blocks of the arena are about to be written anew.
  static void forget(const Arena& arena);
  /// The elements of `gradient` in the memory of a device that owns them; undefined where it does not, or
  /// where they have been brought to the first device.
  static Tensor in_shards_of(std::size_t device, const Tensor& gradient);

  bool is_for(std::size_t begin, std::size_t end) const override;
  void run() const override;

 private:
  ScatteredSums(const Tensor& first, std::vector<Tensor> others, std::shared_ptr<const Partition> partition,
                std::shared_ptr<std::atomic<std::int64_t>> bytes);

  const DType dtype_;
  const std::weak_ptr<Storage> first_;  // which keeps this
  const std::int64_t elements_;
  const std::vector<Tensor> others_;  // blocks of devices 1, 2, ...
  const std::shared_ptr<const Partition> partition_;
  const std::shared_ptr<std::atomic<std::int64_t>> bytes_;
};

}  // namespace miniparallel::parallel
