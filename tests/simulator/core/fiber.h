#pragma once
// A Boost.Context fiber with its stack, told to the sanitizers.

#include <boost/context/detail/fcontext.hpp>

#include <cstddef>

namespace miniparallel::simulator {

/// Runs `body(*this)` on its own stack, from the first resume()
/// on, until body calls suspend(). The body never returns.
class Fiber {
 public:
  using Body = void (*)(Fiber&);

  explicit Fiber(Body body);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// From the scheduler into the fiber; returns when it, or one that it handed over to, suspends.
  void resume();
  /// From inside the fiber back to its scheduler.
  void suspend();
  /// From inside the fiber straight into one that was suspended; half the way over the scheduler.
  void hand_over(Fiber& next);
  /// Forgets what the fiber was doing; the next resume() starts the body anew. Not called from inside.
  void restart();

  const char* stack_begin() const { return stack_; }
  const char* stack_end() const { return stack_ + stack_bytes; }

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
  static constexpr std::size_t stack_bytes = std::size_t{512} << 10;
#else
  static constexpr std::size_t stack_bytes = std::size_t{128} << 10;
#endif

 private:
  static void enter(boost::context::detail::transfer_t transfer);
  void arrive(boost::context::detail::transfer_t transfer);

  Body body_;
  char* stack_;
  boost::context::detail::fcontext_t context_ = nullptr;
  boost::context::detail::fcontext_t scheduler_ = nullptr;
  void* sanitizer_fiber_ = nullptr;
  void* sanitizer_scheduler_ = nullptr;
  [[maybe_unused]] void* fake_stack_ = nullptr;
  [[maybe_unused]] const void* scheduler_stack_ = nullptr;
  [[maybe_unused]] std::size_t scheduler_stack_bytes_ = 0;
};

}  // namespace miniparallel::simulator
