#include "engine/memory/caching_allocator.h"

#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <future>
#include <stdexcept>
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

/// As of a GPU: it is waited for until a thread lets it go on, and has room for a number of blocks.
struct SlowSource final : MemorySource {
  void* take(std::size_t bytes) override { return room-- > 0 ? std::malloc(bytes) : (++room, nullptr); }
  void give_back(void* block, std::size_t) override {
    std::free(block);
    ++room;
  }
  void synchronize() override {
    if (fails) throw std::runtime_error("the device has failed");
    waiting.set_value();
    went_on = go_on.get_future().wait_for(std::chrono::seconds(20)) == std::future_status::ready;
  }
  bool waits() const override { return true; }

  int room = 2;
  bool fails = false, went_on = false;
  std::promise<void> waiting, go_on;
};

TEST_CASE("empty_cache: while it waits for a device, others get memory, and who finds none waits with it") {
  SlowSource source;
  CachingAllocator allocator("fake", source, 64);
  allocator.deallocate(allocator.allocate(64, {}), 64, {}, {});
  auto emptied = std::async(std::launch::async, [&] { allocator.empty_cache(); });
  source.waiting.get_future().wait();
  void* const other = allocator.allocate(64, {});  // a new block: the cached one is on its way out
  auto refused = std::async(std::launch::async, [&] { return allocator.allocate(64, {}); });
  source.go_on.set_value();
  emptied.get();
  void* const last = refused.get();
  CHECK(source.went_on);
  CHECK(allocator.stats().cached == 0);
  CHECK(allocator.stats().used == 128);
  for (void* const block : {other, last}) allocator.deallocate(block, 64, {}, {});
  source.fails = true;
  CHECK_THROWS_AS(allocator.empty_cache(), std::runtime_error);
  CHECK(allocator.stats().cached == 128);
  for (int i = 0; i < 2; ++i) std::free(allocator.allocate(64, {}));  // they are there still
}

}  // namespace
}  // namespace miniparallel
