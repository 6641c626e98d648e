#include <miniparallel/data/data_loader.h>
#include <miniparallel/error.h>
#include <miniparallel/random.h>

#include <doctest/doctest.h>

#include <algorithm>

namespace miniparallel::data {
namespace {

using Integers = std::vector<std::int64_t>;

template <class Part>
Integers rows_of(const Part& part) {
  return as_batch(part)[0].template to_vector<std::int64_t>();
}

TEST_CASE("random_split: every example in one part, in an order of the seed") {
  const TensorDataset dataset(arange(100), arange(100) * 2);
  manual_seed(1);
  const auto [training, validation] = random_split(dataset, {0.8, 0.2});
  Integers all = rows_of(training), others = rows_of(validation);
  CHECK(all.size() == 80);
  CHECK(others.size() == 20);
  CHECK_FALSE(std::ranges::is_sorted(all));
  const auto [first, second] = as_batch(validation);
  CHECK(equal(second, first * 2));

  manual_seed(1);
  CHECK(rows_of(random_split(dataset, {80, 20})[0]) == all);
  CHECK(rows_of(random_split(dataset, {80, 20})[0]) != all);
  all.insert(all.end(), others.begin(), others.end());
  std::ranges::sort(all);
  CHECK(all == arange(100).to_vector<std::int64_t>());
}

/// `i`, and a random number.
struct Noise {
  std::int64_t size() const { return 2; }
  std::array<Tensor, 1> get(std::int64_t i, RandomStream& random) const {
    return {tensor(100 * (i + 1) + random.below(100))};
  }
};

TEST_CASE("ConcatDataset: the examples of one dataset after the other") {
  const ConcatDataset all(TensorDataset(arange(3)), Noise{}, TensorDataset(zeros({0}, int64)),
                          TensorDataset(arange(10, 12)));
  CHECK(all.size() == 7);
  const Integers rows = rows_of(all);
  CHECK(Integers(rows.begin(), rows.begin() + 3) == Integers{0, 1, 2});
  CHECK(rows[3] / 100 == 1);
  CHECK(rows[4] / 100 == 2);
  CHECK(Integers(rows.begin() + 5, rows.end()) == Integers{10, 11});
  CHECK(rows_of(Subset(all, {6, 0})) == Integers{11, 0});
  RandomStream random(1, 2);
  CHECK_THROWS_AS(all.get(7, random), Error);
}

TEST_CASE("random_split: sizes of the parts") {
  const auto sizes = [](std::int64_t size, auto... fractions) {
    Integers got;
    for (const auto& part : random_split(TensorDataset(arange(size)), {fractions...}))
      got.push_back(part.size());
    return got;
  };
  CHECK(sizes(10, 0.5, 0.5) == Integers{5, 5});
  CHECK(sizes(11, 1.0 / 3, 1.0 / 3, 1.0 / 3) == Integers{4, 4, 3});  // as PyTorch has them
  CHECK(sizes(7, 0.9, 0.1) == Integers{7, 0});
  CHECK(sizes(7, 0.8f, 0.2f) == Integers{6, 1});
  CHECK(sizes(0, 0.5, 0.5) == Integers{0, 0});
  CHECK(sizes(3, 1.0) == Integers{3});
  CHECK(sizes(7, std::int64_t{3}, std::int64_t{0}, std::int64_t{4}) == Integers{3, 0, 4});
  CHECK_THROWS_WITH_AS(sizes(10, 0.8, 0.1),
                       doctest::Contains("the fractions add up to 0.9; they must add up to 1"), Error);
  CHECK_THROWS_WITH_AS(sizes(10, 1.5, -0.5), doctest::Contains("a fraction is 1.5; it must be from 0 to 1"),
                       Error);
  CHECK_THROWS_WITH_AS(sizes(10, 8, 3),
                       "random_split: the parts have 11 examples, the dataset has 10; the two must be equal",
                       Error);
  CHECK_THROWS_WITH_AS(sizes(10, 11, -1), "random_split: a part has size -1; it must be at least 0", Error);
}

/// 0 .. 4, each with a random companion.
struct Numbers {
  std::int64_t size() const { return 5; }
  std::pair<std::int64_t, double> get(std::int64_t index, RandomStream& random) const {
    return {index, random.uniform()};
  }
};

TEST_CASE("as_batch: all examples, whatever way the dataset offers") {
  const auto [numbers, companions] = as_batch(Numbers{});
  CHECK(equal(numbers, arange(5)));
  CHECK(companions.shape() == Shape{5});
  CHECK(as_batch(TensorDataset(zeros({0, 3})))[0].shape() == Shape{0, 3});
}

}  // namespace
}  // namespace miniparallel::data
