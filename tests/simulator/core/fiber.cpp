#include "core/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace miniparallel::simulator {
namespace {

namespace context = boost::context::detail;
constexpr std::size_t guard_bytes = 4096;

}  // namespace

Fiber::Fiber(Body body) : body_(body) {
  void* const memory = mmap(nullptr, stack_bytes + guard_bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, guard_bytes, PROT_NONE);  // a kernel that overflows its stack stops here
  stack_ = static_cast<char*>(memory) + guard_bytes;
  restart();
}

Fiber::~Fiber() {
#if defined(__SANITIZE_THREAD__)
  if (sanitizer_fiber_ != nullptr) __tsan_destroy_fiber(sanitizer_fiber_);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack_,
                                stack_bytes);  // the next owner of these addresses finds no old frames
#endif
  munmap(stack_ - guard_bytes, stack_bytes + guard_bytes);
}

void Fiber::restart() {
  // Tops of stacks at equal page offsets would compete for the same lines of the cache.
  const std::size_t stagger = reinterpret_cast<std::uintptr_t>(stack_) / stack_bytes % 61 * 192;
  context_ = context::make_fcontext(stack_ + stack_bytes - stagger, stack_bytes - stagger, &Fiber::enter);
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack_, stack_bytes);
  fake_stack_ = nullptr;
#endif
#if defined(__SANITIZE_THREAD__)
  if (sanitizer_fiber_ != nullptr) __tsan_destroy_fiber(sanitizer_fiber_);
  sanitizer_fiber_ = __tsan_create_fiber(0);
#endif
}

void Fiber::resume() {
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, stack_, stack_bytes);
#endif
#if defined(__SANITIZE_THREAD__)
  sanitizer_scheduler_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(sanitizer_fiber_, 0);
#endif
  const context::transfer_t transfer = context::jump_fcontext(context_, this);
  static_cast<Fiber*>(transfer.data)->context_ = transfer.fctx;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

void Fiber::suspend() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&fake_stack_, scheduler_stack_, scheduler_stack_bytes_);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(sanitizer_scheduler_, 0);
#endif
  arrive(context::jump_fcontext(scheduler_, this));
}

void Fiber::hand_over(Fiber& next) {
  next.scheduler_ = scheduler_;
#if defined(__SANITIZE_ADDRESS__)
  next.scheduler_stack_ = scheduler_stack_;
  next.scheduler_stack_bytes_ = scheduler_stack_bytes_;
  __sanitizer_start_switch_fiber(&fake_stack_, next.stack_, stack_bytes);
#endif
#if defined(__SANITIZE_THREAD__)
  next.sanitizer_scheduler_ = sanitizer_scheduler_;
  __tsan_switch_to_fiber(next.sanitizer_fiber_, 0);
#endif
  arrive(context::jump_fcontext(next.context_, this));
}

/// Back in this fiber, from its scheduler, which names it, or from another one, which names itself.
void Fiber::arrive(context::transfer_t transfer) {
  Fiber* const from = static_cast<Fiber*>(transfer.data);
  (from == this ? scheduler_ : from->context_) = transfer.fctx;
#if defined(__SANITIZE_ADDRESS__)
  const void* stack = nullptr;
  std::size_t bytes = 0;
  __sanitizer_finish_switch_fiber(fake_stack_, &stack, &bytes);
  if (from != this) return;
  scheduler_stack_ = stack;
  scheduler_stack_bytes_ = bytes;
#endif
}

void Fiber::enter(context::transfer_t transfer) {
  Fiber& fiber = *static_cast<Fiber*>(transfer.data);
  fiber.scheduler_ = transfer.fctx;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &fiber.scheduler_stack_, &fiber.scheduler_stack_bytes_);
#endif
  fiber.body_(fiber);
}

}  // namespace miniparallel::simulator
