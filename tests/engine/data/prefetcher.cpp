#include <miniparallel/data/prefetcher.h>

#include <miniparallel/dtype.h>
#include <miniparallel/grad_mode.h>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

namespace miniparallel::data {
namespace {

using namespace std::chrono_literals;

int value(const Prefetcher::Item& item) { return *std::static_pointer_cast<int>(item); }

/// Later items are ready before earlier ones.
Prefetcher::Item slow_at_even(std::int64_t i) {
  if (i % 2 == 0) std::this_thread::sleep_for(1ms);
  return std::make_shared<int>(static_cast<int>(i));
}

TEST_CASE("prefetcher: items come in order for any number of workers") {
  for (const int workers : {0, 1, 2, 5}) {
    for (const int ahead : {1, 3}) {
      Prefetcher prefetcher(3, 20, workers, ahead, slow_at_even);
      for (int i = 3; i < 20; ++i) CHECK(value(prefetcher.next()) == i);
      CHECK(prefetcher.next() == nullptr);
      CHECK(prefetcher.next() == nullptr);
    }
  }
  CHECK(Prefetcher(0, 0, 2, 2, slow_at_even).next() == nullptr);
}

TEST_CASE("prefetcher: no more items are made than may be ahead") {
  std::atomic<int> made = 0;
  Prefetcher prefetcher(0, 100, 3, 4, [&](std::int64_t i) {
    ++made;
    return std::make_shared<int>(static_cast<int>(i));
  });
  prefetcher.next();
  std::this_thread::sleep_for(20ms);
  CHECK(made == 5);
}

TEST_CASE("prefetcher: what an item throws reaches the reader when it comes to that item") {
  for (const int workers : {0, 1, 4}) {
    Prefetcher prefetcher(0, 8, workers, 8, [](std::int64_t i) -> Prefetcher::Item {
      if (i == 2) throw std::runtime_error("item 2 is broken");
      return slow_at_even(i);
    });
    CHECK(value(prefetcher.next()) == 0);
    CHECK(value(prefetcher.next()) == 1);
    CHECK_THROWS_WITH_AS(prefetcher.next(), "item 2 is broken", std::runtime_error);
    CHECK(value(prefetcher.next()) == 3);
  }
}

TEST_CASE("prefetcher: workers take over the reader's grad mode and default dtype") {
  const DType before = default_dtype();
  set_default_dtype(float64);
  for (const int workers : {0, 1, 3}) {
    const NoGradGuard no_grad;
    Prefetcher prefetcher(0, 6, workers, 2, [](std::int64_t) {
      return std::make_shared<int>(default_dtype() == float64 && !grad_enabled());
    });
    for (int i = 0; i < 6; ++i) CHECK(value(prefetcher.next()) == 1);
  }
  set_default_dtype(before);
}

TEST_CASE("prefetcher: leaving early drops every item that was made") {
  static std::atomic<int> alive = 0;
  struct Counted {
    Counted() { ++alive; }
    ~Counted() { --alive; }
  };
  for (int repeat = 0; repeat < 50; ++repeat) {
    Prefetcher prefetcher(0, 1000, 3, 6, [](std::int64_t) { return std::make_shared<Counted>(); });
    if (repeat % 2) prefetcher.next();
  }
  CHECK(alive == 0);
}

}  // namespace
}  // namespace miniparallel::data
