#include <miniparallel/miniparallel.h>

#include "tests/docs/captured.h"

#include <doctest/doctest.h>

#include <iostream>

// The code of docs/speed-and-seeds.md.

using namespace miniparallel;

namespace {
struct Net {
  nn::Linear fc{3, 4};
};
Tensor seeded() {
#include "snippets/speed-and-seeds/seeds.inc"
  return cat({net.fc.weight.detach().flatten(), noise});
}
}  // namespace

TEST_CASE("docs/speed-and-seeds: threads, and the same numbers again") {
  const int threads = num_threads();
  {
    const testing::Captured captured(std::cout);
#include "snippets/speed-and-seeds/threads.inc"
    CHECK(captured.text().find(" cores, ") != std::string::npos);
  }
  set_num_threads(threads);
  CHECK(equal(seeded(), seeded()));
}
