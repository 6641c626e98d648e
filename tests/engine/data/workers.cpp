#include <miniparallel/data/workers.h>

#include <miniparallel/error.h>

#include <doctest/doctest.h>

namespace miniparallel {
namespace {

TEST_CASE("recommended_num_workers: cores over GPUs, at least 1") {
  CHECK(recommended_num_workers(16, 3) == 5);
  CHECK(recommended_num_workers(32, 3) == 10);
  CHECK(recommended_num_workers(64, 3) == 21);
  CHECK(recommended_num_workers(2, 8) == 1);
  CHECK(recommended_num_workers(64, 0) == 1);
  CHECK(recommended_num_workers() >= 1);
  CHECK_THROWS_AS(recommended_num_workers(0, 1), Error);
  CHECK_THROWS_AS(recommended_num_workers(1, -1), Error);
}

}  // namespace
}  // namespace miniparallel
