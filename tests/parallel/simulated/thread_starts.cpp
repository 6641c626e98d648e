#include "thread_starts.h"

#include "../../support/forked.h"

#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>

namespace miniparallel::testing {
namespace {

std::atomic<int> countdown = 0;

}  // namespace

void fail_thread_start(int nth) { countdown = nth; }
bool forget_thread_start() { return countdown.exchange(0) > 0; }

}  // namespace miniparallel::testing

#ifndef MP_SANITIZER

/// In place of the C library's, for whoever starts a thread.
extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                              void* argument) noexcept {
  using miniparallel::testing::countdown;
  if (countdown > 0 && --countdown == 0) return EAGAIN;
  static const auto create =
      reinterpret_cast<decltype(&pthread_create)>(::dlsym(RTLD_NEXT, "pthread_create"));
  return create(thread, attributes, run, argument);
}

#endif
