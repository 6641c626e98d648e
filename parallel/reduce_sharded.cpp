#include "engine/tensor/tensor_impl.h"
#include "parallel/devices.h"
#include "parallel/partition.h"
#include "parallel/reduce_paths.h"
#include "parallel/stream_order.h"

#include <algorithm>

namespace miniparallel::parallel {

std::vector<Part> narrowed(const std::vector<Part>& parts, std::int64_t begin, std::int64_t length) {
  std::vector<Part> some;
  for (const Part& part : parts)
    some.push_back({part.rank, make_alias(part.values, {length}, {1}, part.values.impl()->offset + begin)});
  return some;
}

std::vector<Device> devices_of(const std::vector<Part>& parts, const std::vector<SumShard>& shards) {
  std::vector<Device> devices;
  for (const SumShard& shard : shards) devices.insert(devices.end(), {shard.device, shard.sum.device()});
  for (const Part& part : parts) devices.push_back(part.values.device());
  return each_once(devices);
}

std::int64_t sum_shards(const std::vector<Part>& parts, const std::vector<SumShard>& shards) {
  std::int64_t bytes = 0, begin = 0;
  const JointWork ordered(devices_of(parts, shards));
  for (const auto& [device, sum] : shards) {
    std::vector<Part> shard = narrowed(parts, begin, sum.numel());
    begin += sum.numel();
    if (shard.size() == 1 && raw(shard[0].values) == raw(sum)) continue;
    for (const Part& part : shard)
      if (part.values.device() != device) bytes += bytes_of(part.values);
    if (device != sum.device()) bytes += bytes_of(sum);
    sum_on(device, std::move(shard), sum);
  }
  return bytes;
}

std::int64_t sum_sharded(std::vector<Part> parts, const Tensor& sum) {
  const std::vector<Device> devices = devices_of(parts, sum);
  const auto units = static_cast<std::int64_t>(devices.size()) * Partition::kUnit;
  const std::int64_t n = sum.numel(), share = (n + units - 1) / units * Partition::kUnit;
  const Tensor y = sum.detach().view({-1});
  std::vector<SumShard> shards;
  for (std::int64_t begin = 0; begin < n; begin += share)
    shards.push_back({devices[shards.size()], y.narrow(0, begin, std::min(share, n - begin))});
  return sum_shards(parts, shards);
}

}  // namespace miniparallel::parallel
