#include "kernels/cpu/parallel.h"

#include "kernels/cpu/blas.h"
#include "kernels/cpu/team.h"

#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <tuple>
#include <vector>

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

TEST_CASE("threads at the start: no more than a container's quota, unless OMP_NUM_THREADS says so") {
  CHECK(threads_at_start(nullptr, 8, 8) == 8);
  CHECK(threads_at_start(nullptr, 8, 2) == 2);
  CHECK(threads_at_start("", 8, 2) == 2);
  CHECK(threads_at_start("8", 8, 2) == 8);
  CHECK(threads_at_start("1", 1, 2) == 1);
  CHECK(threads_at_start(nullptr, 1, 2) == 1);  // an affinity, or omp_set_num_threads
}

TEST_CASE("run_parts: every part runs once, however many threads call") {
  std::vector<std::thread> callers;
  std::atomic<int> wrong = 0;
  for (int caller = 0; caller < 4; ++caller)
    callers.emplace_back([caller, &wrong] {
      for (int job = 0; job < 300; ++job) {
        std::vector<int> counts(static_cast<std::size_t>(2 + (job + caller) % 7));
        run_parts(
            static_cast<int>(counts.size()),
            [](void* of, int i) { ++(*static_cast<std::vector<int>*>(of))[static_cast<std::size_t>(i)]; },
            &counts);
        for (const int count : counts) wrong += count != 1;
      }
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
}

TEST_CASE("run_parts: a caller does not wait for threads that have not begun") {
  // Both helpers of the first job are kept busy; the second job ends without them.
  struct First {
    std::atomic<int> begun = 0;
    std::atomic<bool> ends = false;
  } first;
  std::thread caller([&first] {
    run_parts(
        3,
        [](void* of, int) {
          auto& job = *static_cast<First*>(of);
          ++job.begun;
          while (!job.ends) std::this_thread::yield();
        },
        &first);
  });
  while (first.begun < 3) std::this_thread::yield();
  std::atomic<int> done = 0;
  run_parts(3, [](void* of, int) { ++*static_cast<std::atomic<int>*>(of); }, &done);
  CHECK(done == 3);
  first.ends = true;
  caller.join();
}

TEST_CASE("blas_multiply: parts by several threads make the product of one") {
  const int threads = available_threads();
  for (const auto& sizes :
       {std::tuple{300, 70, 90}, {70, 300, 90}, {1, 5000, 200}, {5000, 1, 200}, {33, 31, 2000}})
    for (const bool a_turned : {false, true})
      for (const bool b_turned : {false, true}) {
        const int rows = std::get<0>(sizes), columns = std::get<1>(sizes), inner = std::get<2>(sizes);
        CAPTURE(rows);
        CAPTURE(columns);
        CAPTURE(a_turned);
        CAPTURE(b_turned);
        const auto at = [](int i) { return static_cast<std::size_t>(i); };
        std::vector<double> a(at(rows * inner)), b(at(inner * columns));
        for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<double>(i * 7 % 11) - 5;
        for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<double>(i * 5 % 13) - 6;
        const auto product = [&](int count) {
          set_threads(count);
          std::vector<double> c(at(rows * columns), 3.0);
          MatmulArgs args;
          args.rows = rows;
          args.columns = columns;
          args.inner = inner;
          args.a = {a.data(), a_turned ? rows : inner, a_turned};
          args.b = {b.data(), b_turned ? inner : columns, b_turned};
          args.c = c.data();
          args.c_stride = columns;
          args.beta = 1;
          blas_multiply<double>(args);
          return c;
        };
        CHECK(product(3) == product(1));  // small whole numbers: exact in any order
      }
  set_threads(threads);
}

}  // namespace
}  // namespace miniparallel::kernels::cpu
