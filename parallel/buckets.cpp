#include "parallel/buckets.h"

#include <algorithm>

namespace miniparallel::parallel {
namespace {

constexpr std::int64_t kFirstBytes = std::int64_t{1} << 20;
constexpr std::int64_t kSmallModel = std::int64_t{4} << 20;
constexpr std::int64_t kValueBytes = std::int64_t{8} << 20;  // which the last place of a bucket exceeds

std::int64_t bytes_of(const Tensor& run) {
  return run.numel() * static_cast<std::int64_t>(size_of(run.dtype()));
}

/// Of a small model it has all.
std::int64_t bytes_of_first_bucket(const Arena& arena) {
  std::int64_t bytes = 0;
  for (const Tensor& block : arena.blocks()) bytes += bytes_of(block);
  return bytes <= kSmallModel ? kSmallModel : kFirstBytes;
}

}  // namespace

std::vector<Bucket> buckets_of_gradients(const Arena& arena, std::int64_t bytes) {
  const std::int64_t first_bytes = std::min(bytes, bytes_of_first_bucket(arena));
  std::vector<Bucket> buckets;
  std::int64_t used = 0;
  for (std::size_t i = arena.size(); i-- > 0;) {
    const std::int64_t size = bytes_of(arena.padded_run(i, i));
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

std::vector<Bucket> buckets_of_values(const Arena& arena) {
  std::vector<Bucket> buckets;
  std::int64_t room = 0;
  for (std::size_t i = 0; i < arena.size(); ++i) {
    if (room <= 0 || !arena.is_followed(i - 1)) {
      room = buckets.empty() ? bytes_of_first_bucket(arena) : kValueBytes;
      buckets.push_back({i, i});
    }
    buckets.back().end = i + 1;
    room -= bytes_of(arena.run(i, i));
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
