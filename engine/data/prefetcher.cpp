#include <miniparallel/data/prefetcher.h>

#include "engine/data/waiting.h"
#include "engine/fork.h"
#include "engine/profiler/span.h"
#include "engine/threads/thread_state.h"
#include "kernels/cpu/parallel.h"

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace miniparallel::data {
namespace {

thread_local std::chrono::nanoseconds waited{0};

/// Adds its life to what the thread has waited.
class Wait {
 public:
  Wait() = default;
  ~Wait() { waited += Clock::now() - start_; }
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

}  // namespace

std::chrono::nanoseconds time_waited() { return waited; }

/// A ring of `slots.size()` items in front of the reader. A worker claims the next number, makes the item
/// without the lock, and stores it in the slot of its number.
struct Prefetcher::Workers {
  struct Slot {
    Item item;
    std::exception_ptr error;
    bool ready = false;
  };

  Workers(std::int64_t first, std::int64_t last, int ahead, const Make& make_item)
      : claimed(first), taken(first), end(last), make(make_item), slots(static_cast<std::size_t>(ahead)) {}

  // The constructor above has made a whole object: where a thread cannot be started, those before it are
  // stopped by the destructor.
  Workers(std::int64_t first, std::int64_t last, int count, int ahead, const Make& make_item)
      : Workers(first, last, ahead, make_item) {
    ThreadState reader;
    reader.random = nullptr;  // a scope of the reader's, which may end before the workers do
    threads.reserve(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) threads.emplace_back([this, reader] { work(reader); });
  }

  ~Workers() {
    {
      const std::lock_guard lock(mutex);
      end = claimed;
    }
    may_claim.notify_all();
    for (std::thread& thread : threads) thread.join();
  }

  void work(const ThreadState& reader) {
    const kernels::cpu::SerialScope one_thread;  // the cores belong to the other workers and to training
    const ThreadStateScope scope(reader);
    profiler::set_thread_role("data worker");
    std::unique_lock lock(mutex);
    for (;;) {
      may_claim.wait(lock, [&] { return claimed >= end || claimed < taken + std::ssize(slots); });
      if (claimed >= end) return;
      const std::int64_t number = claimed++;
      lock.unlock();
      Slot made{.item = nullptr, .error = nullptr, .ready = true};
      try {
        const profiler::Span span(profiler::Kind::data, "data.make_batch");
        made.item = make(number);
      } catch (...) {
        made.error = std::current_exception();
      }
      lock.lock();
      slot(number) = std::move(made);
      if (number == taken) is_ready.notify_one();
    }
  }

  Item take() {
    std::unique_lock lock(mutex);
    is_ready.wait(lock, [&] { return slot(taken).ready; });
    const Slot made = std::exchange(slot(taken), {});
    ++taken;
    lock.unlock();
    may_claim.notify_one();
    if (made.error) std::rethrow_exception(made.error);
    return made.item;
  }

  Slot& slot(std::int64_t number) { return slots[static_cast<std::size_t>(number) % slots.size()]; }

  const int generation = fork_generation();
  std::mutex mutex;
  std::condition_variable may_claim, is_ready;
  std::int64_t claimed, taken, end;
  const Make& make;
  std::vector<Slot> slots;
  std::vector<std::thread> threads;
};

Prefetcher::Prefetcher(std::int64_t first, std::int64_t end, int workers, int ahead, Make make)
    : next_(first), end_(end), make_(std::move(make)) {
  if (workers > 0) workers_ = std::make_unique<Workers>(first, end, workers, ahead, make_);
}

Prefetcher::~Prefetcher() { forget_lost_workers(); }

/// The workers are threads of the process that made them. A forked child makes the items that are left by
/// itself; the state of the workers stays as it was in the middle of their work.
void Prefetcher::forget_lost_workers() {
  if (workers_ && workers_->generation != fork_generation()) (void)workers_.release();
}

Prefetcher::Item Prefetcher::next() {
  if (next_ >= end_) return nullptr;
  const std::int64_t number = next_++;
  forget_lost_workers();
  const Wait wait;
  const profiler::Span span(profiler::Kind::data, workers_ ? "data.wait" : "data.make_batch");
  return workers_ ? workers_->take() : make_(number);
}

}  // namespace miniparallel::data
