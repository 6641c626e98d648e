#include "engine/threads/workers.h"

#include "engine/fork.h"
#include "engine/profiler/span.h"
#include "engine/threads/spin.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace miniparallel {
namespace {

thread_local bool is_worker = false;

class Worker {
 public:
  Worker(Accelerator& owner, int device) : thread_([this, &owner, device] { run(owner, device); }) {
    count_workers(1);
  }
  ~Worker() {
    count_workers(-1);
    {
      const std::scoped_lock lock(mutex_);
      stopping_ = true;
      has_news_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Whether this is the copy, in a forked child, of a worker whose thread is its parent's.
  bool is_lost() const { return generation_ != fork_generation(); }

  void post(std::function<void()> job) {
    {
      const std::scoped_lock lock(mutex_);
      jobs_.push_back(std::move(job));
      has_news_ = true;
    }
    changed_.notify_one();
  }

 private:
  void run(Accelerator& owner, int device) {
    const WorkerScope scope(&owner, device);
    while (true) {
      spin_until([this] { return has_news_.load(); });
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      const std::function<void()> job = std::move(jobs_.front());
      jobs_.pop_front();
      has_news_ = stopping_ || !jobs_.empty();
      lock.unlock();
      job();
    }
  }

  const int generation_ = fork_generation();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  bool stopping_ = false;
  std::atomic<bool> has_news_ = false;  // stopping_ || !jobs_.empty()
  std::thread thread_;
};

struct Workers {
  std::mutex& mutex = fork_safe_mutex(LockOrder::gpu_workers, forget_workers);
  std::map<int, std::unique_ptr<Worker>> by_device;
};

Workers& workers() {
  static Workers* const all = new Workers;  // usable while the process ends
  return *all;
}

struct StopAtExit {
  // exit() may have been called on a worker, which cannot wait for itself.
  ~StopAtExit() {
    if (!is_worker) stop_workers();
  }
};

}  // namespace

void post(Accelerator& owner, int device, std::function<void()> job) {
  static const StopAtExit at_exit;  // made late, so that it is destroyed before objects that the jobs use
  const std::scoped_lock lock(workers().mutex);
  std::unique_ptr<Worker>& worker = workers().by_device[device];
  if (worker != nullptr && worker->is_lost()) (void)worker.release();
  if (worker == nullptr) worker = std::make_unique<Worker>(owner, device);
  worker->post(std::move(job));
}

bool on_worker() { return is_worker; }

WorkerScope::WorkerScope(Accelerator* owner, int device) {
  is_worker = true;
  profiler::set_thread_role(owner == nullptr ? "CPU worker" : "GPU worker");
  if (owner != nullptr) owner->make_current(device);
}
WorkerScope::~WorkerScope() { is_worker = false; }

void stop_workers() {
  std::map<int, std::unique_ptr<Worker>> ended;
  {
    const std::scoped_lock lock(workers().mutex);
    ended.swap(workers().by_device);
  }
  for (auto& [device, worker] : ended)  // null where a thread could not be started
    if (worker != nullptr && worker->is_lost()) (void)worker.release();
}

}  // namespace miniparallel
