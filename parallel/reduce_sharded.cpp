#include "parallel/reduce_paths.h"
#include "parallel/stream_order.h"

#include <algorithm>

namespace miniparallel::parallel {
namespace {

constexpr std::int64_t kUnit = 128;  // elements: whole lines of the caches, of 2 bytes at least

}  // namespace

std::int64_t sum_sharded(std::vector<Part> parts, const Tensor& sum) {
  const std::vector<Device> devices = devices_of(parts, sum);
  const auto count = static_cast<std::int64_t>(devices.size());
  const std::int64_t n = sum.numel(), share = (n + count * kUnit - 1) / (count * kUnit) * kUnit;
  const auto flat = [](const Tensor& x) { return x.detach().view({-1}); };
  for (Part& part : parts) part.values = flat(part.values);
  const Tensor y = flat(sum);
  std::int64_t bytes = 0;
  const JointWork ordered(devices);
  for (std::int64_t i = 0, begin = 0; begin < n; ++i, begin += share) {
    const Device device = devices[static_cast<std::size_t>(i)];
    const std::int64_t length = std::min(share, n - begin);
    std::vector<Part> shard;
    for (const Part& part : parts) {
      shard.push_back({part.rank, part.values.narrow(0, begin, length)});
      if (part.values.device() != device) bytes += bytes_of(shard.back().values);
    }
    const Tensor target = y.narrow(0, begin, length);
    if (device != sum.device()) bytes += bytes_of(target);
    sum_on(device, std::move(shard), target);
  }
  return bytes;
}

}  // namespace miniparallel::parallel
