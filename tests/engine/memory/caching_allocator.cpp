#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>
#include <unistd.h>

#include <fstream>
#include <vector>

// clang-format off
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED  // its heap is another one
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif
// clang-format on

namespace miniparallel {
namespace {

double resident_megabytes() {
  double total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1e6;
}

TEST_CASE("empty_cache: small blocks leave the process, too") {
  std::vector<Tensor> kept;
  empty_cache();
  const double before = resident_megabytes();
  {
    std::vector<Tensor> freed;
    for (int i = 0; i < 4000; ++i) {
      freed.push_back(ones({8000}));
      if (i % 100 == 99) kept.push_back(ones({100}));  // in between and on top of the heap
    }
  }
  const double full = resident_megabytes() - before;
  empty_cache();
  const double left = resident_megabytes() - before;
  MESSAGE(full, " MB of freed blocks, ", left, " MB after empty_cache");
  CHECK(memory_stats().cached == 0);
#if defined(__GLIBC__) && !defined(SANITIZED)
  CHECK(full > 100);
  CHECK(left < 10);
#endif
}

}  // namespace
}  // namespace miniparallel
