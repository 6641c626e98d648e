#include "kernels/cpu/team.h"

#include "kernels/pause.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <thread>

namespace miniparallel::kernels::cpu {
namespace {

/// For how long a thread looks for its next job, and a caller for the end of others' parts, before it sleeps:
/// longer than the host's work between two operations of a step, and much shorter than a time slice.
constexpr std::chrono::microseconds kSpinTime{200};

/// Asks ready() until it is true or kSpinTime has passed. The caller must ask once more, and sleep.
template <class Ready>
void spin_until(const Ready& ready) {
  for (const auto end = std::chrono::steady_clock::now() + kSpinTime; std::chrono::steady_clock::now() < end;)
    for (int i = 0; i < 16; ++i) {
      if (ready()) return;
      pause_core();
    }
}

/// What one caller wants done. It lives until no helper is left.
struct Job {
  void (*part)(void* context, int i);
  void* context;
  int parts;
  std::atomic<int> next = 0;     // part
  std::atomic<int> helpers = 0;  // that have taken the job up and not left it
  Job* following = nullptr;

  void work() {
    for (int i; (i = next.fetch_add(1, std::memory_order_relaxed)) < parts;) part(context, i);
  }
  bool is_taken() const { return next.load(std::memory_order_relaxed) >= parts; }
};

class Team {
 public:
  /// Never destroyed: its threads end with the process.
  static Team& get() {
    static auto& team = *new Team;
    return team;
  }

  void run(Job& job) {
    begin(job);
    job.work();
    end(job);
  }

 private:
  void begin(Job& job) {
    const std::scoped_lock lock(mutex_);
    add_threads(job.parts - 1);
    job.following = first_;
    first_ = &job;
    posted_.fetch_add(1, std::memory_order_relaxed);
    for (int i = std::min(asleep_, job.parts - 1); i > 0; --i) posted_one_.notify_one();
  }

  /// All parts have been taken: nobody else takes the job up, and those who have will leave.
  void end(Job& job) {
    {
      const std::scoped_lock lock(mutex_);
      Job** at = &first_;
      while (*at != &job) at = &(*at)->following;
      *at = job.following;
    }
    const auto has_ended = [&job] { return job.helpers.load(std::memory_order_acquire) == 0; };
    spin_until(has_ended);
    if (has_ended()) return;
    std::unique_lock lock(mutex_);
    ++waiting_;
    left_.wait(lock, has_ended);
    --waiting_;
  }

  void add_threads(int wanted) {
    try {
      for (; threads_ < wanted; ++threads_) std::thread([this] { help(); }).detach();
    } catch (const std::system_error&) {
      // The system gives no more threads: fewer do the parts.
    }
  }

  void help() {
    for (;;) {
      const std::uint64_t seen = posted_.load(std::memory_order_relaxed);
      if (Job* const job = take_up()) {
        job->work();
        leave(*job);
        continue;
      }
      const auto has_news = [&] { return posted_.load(std::memory_order_relaxed) != seen; };
      spin_until(has_news);
      std::unique_lock lock(mutex_);
      ++asleep_;
      posted_one_.wait(lock, has_news);
      --asleep_;
    }
  }

  Job* take_up() {
    const std::scoped_lock lock(mutex_);
    for (Job* job = first_; job != nullptr; job = job->following)
      if (!job->is_taken()) {
        job->helpers.fetch_add(1, std::memory_order_relaxed);
        return job;
      }
    return nullptr;
  }

  /// The job may be gone when its last helper has left.
  void leave(Job& job) {
    const std::scoped_lock lock(mutex_);
    job.helpers.fetch_sub(1, std::memory_order_release);
    if (waiting_ > 0) left_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable posted_one_, left_;
  std::atomic<std::uint64_t> posted_ = 0;  // jobs so far
  Job* first_ = nullptr;                   // of the jobs that may be taken up
  int threads_ = 0, asleep_ = 0;
  int waiting_ = 0;  // callers
};

}  // namespace

void run_parts(int parts, void (*part)(void* context, int i), void* context) {
  Job job{part, context, parts};
  Team::get().run(job);
}

}  // namespace miniparallel::kernels::cpu
