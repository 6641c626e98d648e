#pragma once

#include <cstdint>
#include <type_traits>

/// All CPU parallelism of the library goes through here.

namespace miniparallel::kernels::cpu {

/// Threads that a parallel_for of the calling thread may use: 1 inside a parallel_for or a SerialScope.
/// It is 1 as well in a child of fork() whose parent had a team: see note_team.
int available_threads();

/// To be called before threads start that help. They are not in a child of fork(), which computes on one
/// thread.
void note_team();

/// While it lives, parallel_for runs on the calling thread alone: for loader threads and the like.
class SerialScope {
 public:
  SerialScope();
  ~SerialScope();
  SerialScope(const SerialScope&) = delete;
  SerialScope& operator=(const SerialScope&) = delete;

 private:
  bool previous_;
};

void set_threads(int count);

/// How many threads there are before set_threads: OpenMP's number where OMP_NUM_THREADS is `wanted`, else no
/// more than the cores that the process may use. OpenMP knows of its affinity, but not of a container's
/// quota, beyond which the system would stop all threads again and again.
int threads_at_start(const char* wanted, int openmp, int usable);

namespace detail {
void run_parallel(std::int64_t n, std::int64_t grain, void (*body)(void*, std::int64_t, std::int64_t),
                  void* context);
}

/// Calls body(begin, end) on disjoint parts that cover [0, n), from several threads when n > grain. A part is
/// at least `grain` long, except the last: choose it so that one takes some 10 us. An exception of a part is
/// rethrown here once all parts have ended; of several the first.
template <class Body>
void parallel_for(std::int64_t n, std::int64_t grain, Body&& body) {
  if (n <= 0) return;
  if (n <= grain) return body(std::int64_t{0}, n);
  using Plain = std::remove_reference_t<Body>;
  detail::run_parallel(
      n, grain,
      [](void* context, std::int64_t begin, std::int64_t end) {
        (*static_cast<Plain*>(context))(begin, end);
      },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace miniparallel::kernels::cpu
