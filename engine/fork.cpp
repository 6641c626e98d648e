#include "engine/fork.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>
#include <vector>

namespace miniparallel {

struct Forks {
  struct Fixed {
    std::mutex mutex;
    std::atomic<void (*)()> in_child = nullptr;
  };
  static constexpr int kOrders = static_cast<int>(LockOrder::event_file) + 1;

  std::array<Fixed, kOrders> fixed;
  std::mutex objects_mutex;
  std::vector<ForkSafety*> objects;
  std::atomic<int> generation = 0;

  Forks() { ::pthread_atfork(prepare, in_parent, in_child); }

  static Forks& instance() {
    static auto* const made = new Forks;  // usable while the process ends
    return *made;
  }

  /// Calls f(mutex) for all of them in their order.
  template <class F>
  void each(F&& f) {
    for (int order = 0; order < kOrders; ++order) {
      f(fixed[static_cast<std::size_t>(order)].mutex);
      for (ForkSafety* const object : objects)
        if (object->order_ == LockOrder{order}) f(object->mutex_);
    }
  }

  static void prepare() {
    instance().objects_mutex.lock();
    instance().each([](std::mutex& mutex) { mutex.lock(); });
  }

  static void in_parent() {
    instance().each([](std::mutex& mutex) { mutex.unlock(); });
    instance().objects_mutex.unlock();
  }

  static void in_child() {
    Forks& forks = instance();
    ++forks.generation;
    for (const Fixed& lock : forks.fixed)
      if (const auto in_child = lock.in_child.load()) in_child();
    for (ForkSafety* const object : forks.objects)
      if (object->in_child_) object->in_child_();
    in_parent();
  }
};

std::mutex& fork_safe_mutex(LockOrder order, void (*in_child)()) {
  Forks::Fixed& lock = Forks::instance().fixed[static_cast<std::size_t>(order)];
  if (in_child != nullptr) lock.in_child = in_child;
  return lock.mutex;
}

ForkSafety::ForkSafety(LockOrder order, std::mutex& mutex, std::function<void()> in_child)
    : order_(order), mutex_(mutex), in_child_(std::move(in_child)) {
  const std::scoped_lock lock(Forks::instance().objects_mutex);
  Forks::instance().objects.push_back(this);
}

ForkSafety::~ForkSafety() {
  const std::scoped_lock lock(Forks::instance().objects_mutex);
  std::erase(Forks::instance().objects, this);
}

int fork_generation() { return Forks::instance().generation; }

}  // namespace miniparallel
