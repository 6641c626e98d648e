#pragma once

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)  // GCC
#define MP_SANITIZER
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)  // Clang
#define MP_SANITIZER
#endif
#endif

namespace miniparallel::testing {

/// Whether a child of a process with threads may go on as its parent did. The thread sanitizer ends it when
/// it starts a thread. The address sanitizer's allocator takes no care of fork() up to GCC 12 and Clang 14:
/// the child waits for ever for a lock that another thread of its parent held.
#ifdef MP_SANITIZER
inline constexpr bool kForksWithThreads = false;
#else
inline constexpr bool kForksWithThreads = true;
#endif

/// Checks that `child` returns true in a forked child, in time.
inline void run_forked(const std::function<bool()>& child) {
  const pid_t process = ::fork();
  if (process == 0) {
    ::alarm(60);
    bool right = false;
    try {
      right = child();
    } catch (const std::exception&) {
      // It ends as if it had said no.
    }
    std::_Exit(right ? 0 : 1);
  }
  int status = -1;
  if (::waitpid(process, &status, 0) != process) status = -1;
  CHECK(status == 0);
}

}  // namespace miniparallel::testing
