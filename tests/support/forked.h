#pragma once

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>

#if defined(__SANITIZE_THREAD__)  // GCC
#define MP_THREAD_SANITIZER
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)  // Clang
#define MP_THREAD_SANITIZER
#endif
#endif

namespace miniparallel::testing {

/// Whether a child of a process with threads may start some: the thread sanitizer ends it then.
#ifdef MP_THREAD_SANITIZER
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
