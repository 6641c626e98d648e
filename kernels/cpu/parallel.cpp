#include "kernels/cpu/parallel.h"

#include "kernels/cpu/cpu_cores.h"
#include "kernels/cpu/team.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>

#if defined(MINIPARALLEL_STD_THREADS)
#include <thread>
#else
#include <omp.h>
#endif

namespace miniparallel::kernels::cpu {
namespace {

thread_local bool serial = false;
std::atomic<int> limit = 0;  // 0: not set, ask the system

std::atomic<bool> has_team = false;
std::atomic<bool> lost_team = false;  // with a fork

int openmp_threads() {
#if defined(MINIPARALLEL_STD_THREADS)
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
#else
  return omp_get_max_threads();
#endif
}

int thread_limit() {
  int count = limit.load(std::memory_order_relaxed);
  if (count == 0) {
    count = threads_at_start(std::getenv("OMP_NUM_THREADS"), openmp_threads(), usable_cores());
    limit.store(count, std::memory_order_relaxed);
  }
  return count;
}

}  // namespace

int threads_at_start(const char* wanted, int openmp, int usable) {
  return wanted != nullptr && *wanted != 0 ? openmp : std::min(openmp, usable);
}

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
  std::exception_ptr error;  // of one part
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
  note_team();
  using RunPart = decltype(run_part);
  run_parts(
      static_cast<int>(parts), [](void* of, int part) { (*static_cast<const RunPart*>(of))(part); },
      const_cast<void*>(static_cast<const void*>(&run_part)));
  if (error) std::rethrow_exception(error);
}

}  // namespace detail
}  // namespace miniparallel::kernels::cpu
