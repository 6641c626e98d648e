#pragma once

#include <cblas.h>

#if defined(MINIPARALLEL_STD_THREADS)
#include <mutex>
#else
#include <omp.h>
#endif

namespace miniparallel::kernels::cpu {

/// While it lives, the BLAS computes in the calling thread alone: operations are divided here. OpenBLAS's
/// OpenMP flavour asks omp_get_max_threads, which is a setting of the thread. Its serial flavour gives two
/// callers one buffer and both wrong results: there one call runs at a time.
class SingleThread {
 public:
#if defined(MINIPARALLEL_STD_THREADS)
  SingleThread() : one_call_(calls_) { openblas_set_num_threads(1); }

 private:
  static inline std::mutex calls_;
  std::lock_guard<std::mutex> one_call_;
#else
  SingleThread() : previous_(omp_get_max_threads()) {
    if (previous_ != 1) omp_set_num_threads(1);
  }
  ~SingleThread() {
    if (previous_ != 1) omp_set_num_threads(previous_);
  }
  SingleThread(const SingleThread&) = delete;
  SingleThread& operator=(const SingleThread&) = delete;

 private:
  int previous_;
#endif
};

}  // namespace miniparallel::kernels::cpu
