#include <miniparallel/parallel/chunks.h>

#include <miniparallel/error.h>

#include <doctest/doctest.h>

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

TEST_CASE("chunks: no chunk is smaller than min_rows, fewer replicas share the batch") {
  CHECK(chunk_sizes(10, 8, Split::balanced, 2) == Sizes{2, 2, 2, 2, 2});
  CHECK(chunk_sizes(5, 4, Split::balanced, 2) == Sizes{3, 2});
  CHECK(chunk_sizes(10, 4, Split::torch_chunk, 2) == Sizes{4, 4, 2});
  CHECK(chunk_sizes(1, 4, Split::balanced, 2) == Sizes{1});
}

}  // namespace
}  // namespace miniparallel
