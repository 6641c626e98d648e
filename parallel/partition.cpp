#include "parallel/partition.h"

#include "engine/tensor/tensor_impl.h"

#include <algorithm>

namespace miniparallel::parallel {

Partition::Partition(const Arena& arena, const std::vector<Bucket>& buckets, std::size_t devices) {
  const std::int64_t units = static_cast<std::int64_t>(devices) * kUnit;
  for (const Bucket& bucket : buckets) {
    const Tensor run = arena.padded_run(bucket.begin, bucket.end - 1);
    const std::int64_t first = run.impl()->offset, end = first + run.numel();
    const std::int64_t share = (run.numel() + units - 1) / units * kUnit;
    std::vector<Shard>& shards = shards_[run.dtype()];
    std::size_t device = 0;
    for (std::int64_t begin = first; begin < end; begin += share)
      shards.push_back({device++, begin, std::min(end, begin + share)});
  }
  for (auto& [dtype, shards] : shards_) std::ranges::sort(shards, {}, &Shard::begin);
}

std::vector<Partition::Shard> Partition::shards(DType dtype, std::int64_t begin, std::int64_t end) const {
  std::vector<Shard> found;
  const std::vector<Shard>& all = shards_.at(dtype);
  for (auto shard = std::ranges::upper_bound(all, begin, {}, &Shard::end);
       shard != all.end() && shard->begin < end; ++shard)
    found.push_back({shard->device, std::max(begin, shard->begin), std::min(end, shard->end)});
  return found;
}

std::vector<Partition::Shard> Partition::shards(const Tensor& run) const {
  const std::int64_t begin = run.impl()->offset;
  return shards(run.dtype(), begin, begin + run.numel());
}

bool Partition::owns(std::size_t device, DType dtype, std::int64_t begin, std::int64_t end) const {
  return std::ranges::all_of(shards(dtype, begin, end),
                             [&](const Shard& shard) { return shard.device == device; });
}

Tensor elements_of(const Arena& arena, DType dtype, std::int64_t begin, std::int64_t end) {
  const auto block =
      std::ranges::find_if(arena.blocks(), [&](const Tensor& one) { return one.dtype() == dtype; });
  return make_alias(*block, {end - begin}, {1}, begin);
}

}  // namespace miniparallel::parallel
