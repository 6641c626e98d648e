#include "parallel/reduce_paths.h"
#include "parallel/stream_order.h"

#include <algorithm>
#include <utility>

namespace miniparallel::parallel {

std::int64_t sum_direct(std::vector<Part> parts, const Tensor& sum) {
  const Device here = sum.device();
  std::int64_t bytes = 0;
  std::vector<Device> owners;
  for (Part& part : parts) {
    const Device device = part.values.device();
    if (device == here) continue;
    bytes += bytes_of(part.values);
    if (!reach_each_other(here, device)) part.values = mirrored(part.values, here);
    if (part.values.device() == here) continue;
    if (std::ranges::find(owners, device) == owners.end()) owners.push_back(device);
  }
  const PeerWork ordered(here, std::move(owners));
  sum_on(here, parts, sum);
  return bytes;
}

}  // namespace miniparallel::parallel
