#include <miniparallel/data/sampler.h>

#include <miniparallel/error.h>

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

namespace miniparallel::data {
namespace {

std::vector<std::int64_t> shuffle(std::int64_t size, std::uint64_t seed, std::uint64_t epoch) {
  RandomStream random(seed, epoch);
  return shuffled()(size, random);
}

TEST_CASE("random stream: the same numbers on every platform") {
  RandomStream random(0, 0);
  CHECK(random.bits() == 0x6be54b9c);
  CHECK(random.bits() == 0x73a6f5bc);
  CHECK(shuffle(8, 1, 0) == std::vector<std::int64_t>{0, 3, 6, 4, 1, 7, 5, 2});
}

TEST_CASE("random stream: uniform and below cover their ranges evenly") {
  RandomStream random(7, 1);
  std::map<std::int64_t, int> counts;
  double sum = 0;
  for (int i = 0; i < 60'000; ++i) {
    ++counts[random.below(6)];
    const double x = random.uniform();
    CHECK_UNARY(x >= 0 && x < 1);
    sum += x;
  }
  CHECK(counts.size() == 6);
  for (const auto& [face, count] : counts) CHECK(std::abs(count - 10'000) < 400);  // four deviations
  CHECK(sum / 60'000 == doctest::Approx(0.5).epsilon(0.01));
  CHECK(random.below(1) == 0);
  CHECK_THROWS_AS(random.below(0), Error);
}

TEST_CASE("sampler: shuffled visits every example once, in an order of its seed and epoch") {
  auto order = shuffle(1000, 3, 0);
  CHECK(order == shuffle(1000, 3, 0));
  CHECK(order != shuffle(1000, 3, 1));
  CHECK(order != shuffle(1000, 4, 0));
  std::ranges::sort(order);
  for (std::int64_t i = 0; i < 1000; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
  CHECK(shuffle(0, 3, 0).empty());

  std::set<std::vector<std::int64_t>> orders;
  for (std::uint64_t seed = 0; seed < 200; ++seed) orders.insert(shuffle(3, seed, 0));
  CHECK(orders.size() == 6);
}

TEST_CASE("sampler: weighted draws in proportion and never what weighs nothing") {
  RandomStream random(5, 0);
  const auto order = weighted({0, 1, 3, 0}, 8000)(4, random);
  CHECK(order.size() == 8000);
  CHECK(std::ranges::count(order, 0) == 0);
  CHECK(std::ranges::count(order, 3) == 0);
  CHECK(std::abs(std::ranges::count(order, 2) - 6000) < 160);
  CHECK_THROWS_AS(weighted({0, 0}, 1), Error);
  CHECK_THROWS_AS(weighted({-1}, 1), Error);
  CHECK_THROWS_AS(weighted({1, 1}, 1)(3, random), Error);
}

}  // namespace
}  // namespace miniparallel::data
