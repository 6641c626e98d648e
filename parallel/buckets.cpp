#include "parallel/buckets.h"

namespace miniparallel::parallel {

std::vector<Bucket> divide_into_buckets(const Arena& arena, std::int64_t first_bytes, std::int64_t bytes) {
  std::vector<Bucket> buckets;
  std::int64_t used = 0;
  for (std::size_t i = arena.size(); i-- > 0;) {
    const Tensor place = arena.padded_run(i, i);
    const std::int64_t size = place.numel() * static_cast<std::int64_t>(size_of(place.dtype()));
    const std::int64_t limit = buckets.size() == 1 ? first_bytes : bytes;
    if (buckets.empty() || !arena.is_followed(i) || used + size > limit) {
      buckets.push_back({i, i + 1});
      used = 0;
    }
    buckets.back().begin = i;
    used += size;
  }
  return buckets;
}

void BucketProgress::expect(Device device) {
  ++left_;
  ++devices_[device].left;
}

bool BucketProgress::complete(Device device) {
  const std::scoped_lock lock(mutex_);
  OnDevice& here = devices_.at(device);
  if (--here.left == 0) {
    here.done.emplace(device);
    here.done->record();
  }
  return --left_ == 0;
}

void BucketProgress::wait() const {
  for (const auto& [device, progress] : devices_) progress.done->wait(device);
}

}  // namespace miniparallel::parallel
