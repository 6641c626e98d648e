#include <miniparallel/parallel/chunks.h>

#include <miniparallel/error.h>

#include <doctest/doctest.h>

#include <limits>
#include <string>

namespace miniparallel {
namespace {

using Sizes = std::vector<std::int64_t>;

TEST_CASE("chunks: rows are divided evenly") {
  CHECK(chunk_sizes(10, 4) == Sizes{3, 3, 2, 2});
  CHECK(chunk_sizes(13, 4) == Sizes{4, 3, 3, 3});
  CHECK(chunk_sizes(10, 8) == Sizes{2, 2, 1, 1, 1, 1, 1, 1});
  CHECK(chunk_sizes(50, 8) == Sizes{7, 7, 6, 6, 6, 6, 6, 6});
  CHECK(chunk_sizes(3, 8) == Sizes{1, 1, 1});
  CHECK(chunk_sizes(7, 1) == Sizes{7});
  CHECK(chunk_sizes(0, 4) == Sizes{0});
}

TEST_CASE("chunks: rows are divided as torch.chunk does") {
  CHECK(chunk_sizes(10, 4, Split::torch_chunk) == Sizes{3, 3, 3, 1});
  CHECK(chunk_sizes(9, 4, Split::torch_chunk) == Sizes{3, 3, 3});
  CHECK(chunk_sizes(5, 4, Split::torch_chunk) == Sizes{2, 2, 1});
  CHECK(chunk_sizes(1, 8, Split::torch_chunk) == Sizes{1});
  CHECK(chunk_sizes(0, 8, Split::torch_chunk) == Sizes{0});
}

TEST_CASE("chunks: sizes are taken as given, and must make up the batch") {
  CHECK(chunk_sizes(10, 3, Split::sizes({2, 0, 8})) == Sizes{2, 0, 8});
  CHECK_THROWS_WITH_AS(
      chunk_sizes(10, 3, Split::sizes({2, 2, 2})),
      "Split::sizes: got {2, 2, 2}, which make 6 rows, for a batch of 10; the sizes must add up to the "
      "batch",
      Error);
  CHECK_THROWS_WITH_AS(chunk_sizes(10, 3, Split::sizes({-1, 11})),
                       "Split::sizes: got {-1, 11}; sizes cannot be negative", Error);
  CHECK_THROWS_WITH_AS(chunk_sizes(4, 3, Split::sizes({1, 1, 1, 1})),
                       "Split::sizes: got 4 sizes {1, 1, 1, 1} for 3 replicas; name one size per replica",
                       Error);
}

TEST_CASE("chunks: rows are divided in proportion to shares") {
  CHECK(chunk_sizes(12, 3, Split::shares({2, 1, 1})) == Sizes{6, 3, 3});
  CHECK(chunk_sizes(10, 3, Split::shares({1, 1, 1})) == Sizes{3, 4, 3});
  CHECK(chunk_sizes(100, 4, Split::shares({0.5, 0, 0.25, 0.25})) == Sizes{50, 0, 25, 25});
  CHECK(chunk_sizes(0, 2, Split::shares({1, 3})) == Sizes{0});
  // What is too slow for min_rows does not run; the fastest always does.
  CHECK(chunk_sizes(10, 3, Split::shares({8, 1, 8})) == Sizes{5, 0, 5});
  CHECK(chunk_sizes(10, 3, Split::shares({8, 3, 5}), 2) == Sizes{5, 2, 3});
  CHECK(chunk_sizes(10, 3, Split::shares({8, 3, 5}), 4) == Sizes{6, 0, 4});
  CHECK(chunk_sizes(1, 3, Split::shares({1, 3, 2})) == Sizes{0, 1, 0});
  for (std::int64_t rows = 1; rows < 50; ++rows) {
    std::int64_t sum = 0;
    for (const std::int64_t size : chunk_sizes(rows, 4, Split::shares({0.31, 0.17, 0.02, 0.5}))) sum += size;
    CHECK(sum == rows);
  }
  CHECK_THROWS_WITH_AS(chunk_sizes(4, 3, Split::shares({1, 2})),
                       "Split::shares: got 2 shares {1, 2} for 3 replicas; name one share per replica",
                       Error);
  CHECK_THROWS_WITH_AS(chunk_sizes(4, 2, Split::shares({1.5, -1})),
                       "Split::shares: got {1.5, -1}; shares are finite and not negative, and one of them is "
                       "positive",
                       Error);
  const auto refused = [](const char* text, double first, double second) {
    const std::string expected = std::string("Split::shares: got ") + text +
                                 "; shares are finite and not negative, and one of them is positive";
    CHECK_THROWS_WITH_AS(chunk_sizes(4, 2, Split::shares({first, second})), expected.c_str(), Error);
  };
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  refused("{0, 0}", 0, 0);
  refused("{inf, 1}", kInfinity, 1);
  refused("{1, nan}", 1, std::numeric_limits<double>::quiet_NaN());
}

TEST_CASE("chunks: by speed, rows are divided evenly until speeds are known") {
  CHECK(chunk_sizes(10, 4, Split::by_speed) == Sizes{3, 3, 2, 2});
}

TEST_CASE("chunks: a split says what it is") {
  CHECK(Split::balanced.to_string() == "balanced");
  CHECK(Split::torch_chunk.to_string() == "torch_chunk");
  CHECK(Split::by_speed.to_string() == "by_speed");
  CHECK(Split::shares({0.5, 2}).to_string() == "shares {0.5, 2}");
  CHECK(Split::sizes({2, 0, 8}).to_string() == "sizes {2, 0, 8}");
}

TEST_CASE("chunks: no chunk is smaller than min_rows, fewer replicas share the batch") {
  CHECK(chunk_sizes(10, 8, Split::balanced, 2) == Sizes{2, 2, 2, 2, 2});
  CHECK(chunk_sizes(5, 4, Split::balanced, 2) == Sizes{3, 2});
  CHECK(chunk_sizes(10, 4, Split::torch_chunk, 2) == Sizes{4, 4, 2});
  CHECK(chunk_sizes(1, 4, Split::balanced, 2) == Sizes{1});
}

}  // namespace
}  // namespace miniparallel
