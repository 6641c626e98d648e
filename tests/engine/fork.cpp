#include <miniparallel/miniparallel.h>
#include <miniparallel/profiler.h>
#include <miniparallel/threads.h>

#include "tests/support/forked.h"
#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

namespace miniparallel {
namespace {

using testing::run_forked;

/// While it lives, ops have two threads even where there is one core.
class TwoThreads {
 public:
  TwoThreads() { set_num_threads(2); }
  ~TwoThreads() { set_num_threads(before_); }

 private:
  int before_ = num_threads();
};

/// Goes through elementwise loops, the BLAS, reductions, the graph and random numbers.
double compute() {
  manual_seed(3);
  const Tensor x = randn({300, 300}).requires_grad_();
  Tensor loss = (matmul(x, x).relu() + exp(x)).sum();
  loss.backward();
  return loss.item() + x.grad().abs().sum().item();
}

TEST_CASE("fork: a child computes after its parent has" * doctest::skip(!testing::kForksWithThreads)) {
  const TwoThreads two;
  const double value = compute();
  run_forked([&] {
    if (num_threads() != 1) return false;
    set_num_threads(4);
    return std::abs(compute() - value) < 1e-4 * value && num_threads() == 1;
  });
  run_forked([] {  // a grandchild, too
    run_forked([] { return compute() > 0; });
    return true;
  });
  CHECK(num_threads() == 2);
  CHECK(compute() == value);
}

TEST_CASE("fork: what other threads have locked is free in the child" *
          doctest::skip(!testing::kForksWithThreads)) {
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  const LogHandler before = set_log_handler([](LogLevel, std::string_view) {});
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([&stop] {
      const Tensor w = ones({100}).requires_grad_();
      while (!stop) {
        rand({1000 + std::rand() % 1000});
        log(LogLevel::info, "x");
        (w * w).sum().backward();
      }
    });
  {
    Profiler profiler({}, {.table_rows = 0, .max_events = 1000});
    for (int i = 0; i < 30; ++i)
      run_forked([] {
        log(LogLevel::info, "y");
        return compute() > 0;
      });
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  set_log_handler(before);
}

TEST_CASE("fork: a child goes on with a loader whose workers are its parent's threads" *
          doctest::skip(!testing::kForksWithThreads)) {
  data::DataLoader batches(data::TensorDataset(arange(100)),
                           {.batch_size = 5, .shuffle = true, .num_workers = 2});
  const data::LoaderPosition start = batches.position();
  std::vector<std::vector<int>> seen, rest;
  for (auto& [numbers] : batches) seen.push_back(numbers.to_vector<int>());
  CHECK(seen.size() == 20);

  // The child ends the epoch by itself, with the batches that its parent gets; and it begins another.
  batches.resume(start);
  int at = 0;
  pid_t child = -1;
  for (auto& [numbers] : batches) {
    rest.push_back(numbers.to_vector<int>());
    if (at++ == 7) child = ::fork();
    if (child == 0) ::alarm(60);
  }
  const bool same = rest == seen;
  if (child == 0) {
    int count = 0;
    for ([[maybe_unused]] auto& batch : batches) ++count;
    std::_Exit(same && count == 20 ? 0 : 1);
  }
  CHECK(same);
  int status = -1;
  ::waitpid(child, &status, 0);
  CHECK(status == 0);
}

TEST_CASE("fork: a profile is the parent's, and a child may record its own" *
          doctest::skip(!testing::kForksWithThreads)) {
  const testing::TemporaryFolder folder;
  Profiler profiler(folder / "trace.json", {.table_rows = 0});
  compute();
  run_forked([&] {
    profiler.stop();  // the copy: nothing
    if (std::filesystem::exists(folder / "trace.json")) return false;
    Profiler own({}, {.table_rows = 0});
    compute();
    own.stop();
    return !own.key_averages().empty();
  });
  profiler.stop();
  CHECK(std::filesystem::exists(folder / "trace.json"));
  CHECK_FALSE(profiler.key_averages().empty());
}

}  // namespace
}  // namespace miniparallel
