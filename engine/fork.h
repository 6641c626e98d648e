#pragma once

#include <functional>
#include <mutex>

/// fork() copies a process with the calling thread alone: a lock that another thread holds stays locked in
/// the child, and waiting for it never ends. So forking takes the library's locks first, and the child
/// forgets the threads.

namespace miniparallel {

/// The locks that a fork() takes, in this order: one that is held while another is taken comes before it.
enum class LockOrder {
  reduction,
  gradient,
  accumulator,
  log,
  names,
  random,
  memory,
  profiler,
  gpu_workers,
  event_files,
  event_file,
};

/// The process's mutex of that order, which a fork() takes and leaves free in both processes. `in_child` is
/// called in the child while all are held.
std::mutex& fork_safe_mutex(LockOrder order, void (*in_child)() = nullptr);

/// The same for a mutex of an object, while it lives. To be made and destroyed without a lock held.
class ForkSafety {
 public:
  ForkSafety(LockOrder order, std::mutex& mutex, std::function<void()> in_child = {});
  ~ForkSafety();
  ForkSafety(const ForkSafety&) = delete;
  ForkSafety& operator=(const ForkSafety&) = delete;

 private:
  friend struct Forks;
  LockOrder order_;
  std::mutex& mutex_;
  std::function<void()> in_child_;
};

/// How often this process and its ancestors have been forked, since the first call: a child has another
/// number than its parent.
int fork_generation();

}  // namespace miniparallel
