#include "kernels/cpu/parallel.h"

#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>

namespace miniparallel::kernels::cpu {
namespace {

TEST_CASE("parallel_for: what a part throws is thrown to the caller once all parts have ended") {
  const int threads = available_threads();
  for (const int count : {1, 4}) {
    set_threads(count);
    std::atomic<std::int64_t> done = 0;
    const auto body = [&](std::int64_t begin, std::int64_t end) {
      done += end - begin;
      throw std::runtime_error("a part is broken");
    };
    CHECK_THROWS_WITH_AS(parallel_for(100, 1, body), "a part is broken", std::runtime_error);
    CHECK(done == 100);
  }
  set_threads(threads);
}

}  // namespace
}  // namespace miniparallel::kernels::cpu
