#include "parallel/partition.h"

#include "engine/tensor/tensor_impl.h"

#include <algorithm>
#include <utility>

namespace miniparallel::parallel {

Partition::Partition(const Arena& arena, const std::vector<Bucket>& buckets,
                     const std::vector<bool>& is_trained, std::size_t devices) {
  struct Shares {
    std::int64_t total = 0;  // elements of the buckets so far
    std::vector<std::int64_t> owned;
    std::size_t device = 0;  // whose share of the bucket is being filled
  };
  std::map<std::pair<DType, bool>, Shares> all;
  const auto shares_of = [&](const Tensor& place, std::size_t i) -> Shares& {
    return all[{place.dtype(), is_trained[i]}];
  };
  for (const Bucket& bucket : buckets) {
    const std::int64_t first = arena.padded_run(bucket.begin, bucket.begin).impl()->offset;
    for (std::size_t i = bucket.begin; i < bucket.end; ++i) {
      const Tensor place = arena.padded_run(i, i);
      Shares& shares = shares_of(place, i);
      shares.owned.resize(devices);
      shares.total += place.numel();
      shares.device = 0;
    }
    for (std::size_t i = bucket.begin; i < bucket.end; ++i) {
      const Tensor place = arena.padded_run(i, i);
      auto& [total, owned, device] = shares_of(place, i);
      const auto count = static_cast<std::int64_t>(devices);
      const std::int64_t share = (total + count - 1) / count, end = place.impl()->offset + place.numel();
      for (std::int64_t begin = place.impl()->offset; begin < end;) {
        while (device + 1 < devices && owned[device] >= share) ++device;
        const std::int64_t wanted = begin + share - owned[device] - first;
        const std::int64_t whole = first + (wanted + kUnit - 1) / kUnit * kUnit;
        const std::int64_t next = device + 1 < devices ? std::min(end, whole) : end;
        give(place.dtype(), {device, begin, next});
        owned[device] += next - begin;
        begin = next;
      }
    }
  }
  for (auto& [dtype, shards] : shards_) std::ranges::sort(shards, {}, &Shard::begin);
}

/// Neighbours are one shard.
void Partition::give(DType dtype, const Shard& shard) {
  std::vector<Shard>& shards = shards_[dtype];
  if (!shards.empty() && shards.back().device == shard.device && shards.back().end == shard.begin)
    shards.back().end = shard.end;
  else
    shards.push_back(shard);
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
