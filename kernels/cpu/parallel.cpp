#include "kernels/cpu/parallel.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <exception>

#if defined(MINIPARALLEL_STD_THREADS)
#include <thread>
#include <vector>
#else
#include <omp.h>
#endif

namespace miniparallel::kernels::cpu {
namespace {

thread_local bool serial = false;
std::atomic<int> limit = 0;  // 0: not set, ask the system

std::atomic<bool> has_team = false;
std::atomic<bool> lost_team = false;  // with a fork

int thread_limit() {
  int count = limit.load(std::memory_order_relaxed);
  if (count == 0) {
#if defined(MINIPARALLEL_STD_THREADS)
    count = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
#else
    count = omp_get_max_threads();
#endif
    limit.store(count, std::memory_order_relaxed);
  }
  return count;
}

}  // namespace

int available_threads() { return serial || lost_team.load(std::memory_order_relaxed) ? 1 : thread_limit(); }

void note_team() {
  if (has_team.load(std::memory_order_relaxed)) return;
  static const int registered = ::pthread_atfork(nullptr, nullptr, [] { lost_team = has_team.load(); });
  has_team = registered == 0;
}

void set_threads(int count) { limit.store(count, std::memory_order_relaxed); }

SerialScope::SerialScope() : previous_(serial) { serial = true; }
SerialScope::~SerialScope() { serial = previous_; }

namespace detail {

void run_parallel(std::int64_t n, std::int64_t grain, void (*body)(void*, std::int64_t, std::int64_t),
                  void* context) {
  const std::int64_t parts = std::min<std::int64_t>(available_threads(), (n + grain - 1) / grain);
  if (parts <= 1) return body(context, 0, n);
  const std::int64_t length = (n + parts - 1) / parts;
  std::exception_ptr error;  // of one part: an exception must not leave an OpenMP region or a thread
  std::atomic_flag failed;
  const auto run_part = [&](std::int64_t part) {
    const SerialScope scope;
    const std::int64_t begin = std::min(n, part * length), end = std::min(n, begin + length);
    try {
      if (begin < end) body(context, begin, end);
    } catch (...) {
      if (!failed.test_and_set()) error = std::current_exception();
    }
  };
#if defined(MINIPARALLEL_STD_THREADS)
  // For the thread sanitizer, which does not see libgomp's synchronisation: plain threads, slow and exact.
  std::vector<std::thread> threads;
  for (std::int64_t part = 1; part < parts; ++part) threads.emplace_back(run_part, part);
  run_part(0);
  for (std::thread& thread : threads) thread.join();
#else
  note_team();
#pragma omp parallel for schedule(static, 1) num_threads(static_cast<int>(parts))
  for (std::int64_t part = 0; part < parts; ++part) run_part(part);
#endif
  if (error) std::rethrow_exception(error);
}

}  // namespace detail
}  // namespace miniparallel::kernels::cpu
