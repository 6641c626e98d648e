#include "parallel/buckets.h"

#include <miniparallel/miniparallel.h>

#include "parallel/partition.h"

#include <doctest/doctest.h>

#include <algorithm>

// How gradients are cut into buckets, and buckets into shares of the devices.

namespace miniparallel {
namespace {

using parallel::Bucket;
using parallel::Partition;

constexpr std::int64_t kMiB = std::int64_t{1} << 20;

std::int64_t bytes_of(const Tensor& run) {
  return run.numel() * static_cast<std::int64_t>(size_of(run.dtype()));
}

TEST_CASE("buckets: the last gradients come first, in a bucket of a MiB, so that links soon have work") {
  std::vector<Tensor> parameters;
  for (int i = 0; i < 20; ++i)
    for (const Shape& shape : {Shape{200, 300}, {200}}) parameters.push_back(zeros(shape));
  parameters[6] = zeros({600, 1000});  // more than a bucket of 2 MiB
  const Arena arena(parameters, Device::cpu());
  for (const std::int64_t most : {25 * kMiB, 2 * kMiB, kMiB / 4}) {
    CAPTURE(most);
    const std::vector<Bucket> buckets = parallel::buckets_of_gradients(arena, most);
    REQUIRE(buckets.size() > 1);
    std::size_t end = arena.size();
    for (const Bucket& bucket : buckets) {
      const std::int64_t limit = &bucket == &buckets[0] ? std::min(most, kMiB) : most;
      REQUIRE(bucket.end == end);
      REQUIRE(bucket.begin < end);
      const std::int64_t bytes = bytes_of(arena.padded_run(bucket.begin, end - 1));
      CHECK((bytes <= limit || bucket.begin + 1 == end));
      if (bucket.begin > 0) CHECK(bytes_of(arena.padded_run(bucket.begin - 1, end - 1)) > limit);
      end = bucket.begin;
    }
    CHECK(end == 0);
  }
}

TEST_CASE("partition: the devices' shares of what is trained are equal, wherever frozen parameters are") {
  std::vector<Tensor> parameters;
  std::vector<bool> is_trained;
  const auto add = [&](const Shape& shape, bool trained, DType dtype = float32) {
    parameters.push_back(zeros(shape, {.dtype = dtype}));
    is_trained.push_back(trained);
  };
  for (int i = 0; i < 6; ++i) {  // whose first half is frozen, and some of the rest
    add({90, 70}, i >= 3);
    add({90}, i >= 3);
    add({17, 31}, i % 2 == 0, float64);
    add({5}, i >= 3);
  }
  const Arena arena(parameters, Device::cpu());
  for (const std::size_t devices : {2u, 3u, 4u, 8u})
    for (const std::int64_t most : {25 * kMiB, std::int64_t{30'000}, std::int64_t{1}}) {
      CAPTURE(devices);
      CAPTURE(most);
      const Partition partition(arena, parallel::buckets_of_gradients(arena, most), is_trained, devices);
      for (const Tensor& block : arena.blocks())
        for (const bool trained : {true, false}) {
          std::vector<std::int64_t> owned(devices);
          std::int64_t all = 0;
          for (std::size_t i = 0; i < parameters.size(); ++i) {
            const Tensor place = arena.padded_run(i, i);
            if (place.dtype() != block.dtype() || is_trained[i] != trained) continue;
            std::int64_t found = 0;
            for (const auto& [device, begin, end] : partition.shards(place)) {
              owned[device] += end - begin;
              found += end - begin;
            }
            CHECK(found == place.numel());
            all += found;
          }
          const auto count = static_cast<std::int64_t>(devices);
          CHECK(*std::ranges::max_element(owned) <= (all + count - 1) / count + Partition::kUnit);
        }
    }
}

}  // namespace
}  // namespace miniparallel
