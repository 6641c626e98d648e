#include "parallel/run_on.h"

#include "engine/capturing.h"
#include "engine/threads/spin.h"
#include "engine/threads/thread_state.h"
#include "engine/threads/workers.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>

namespace miniparallel::parallel {
namespace {

/// The jobs that one thread runs, in order.
struct Lane {
  Device device;
  std::vector<std::size_t> jobs;
};

/// The lane of the first job's device comes first: the caller's.
std::vector<Lane> lanes_of(const std::vector<Device>& devices) {
  std::vector<Lane> lanes;
  for (std::size_t i = 0; i < devices.size(); ++i) {
    auto lane = std::ranges::find(lanes, devices[i], &Lane::device);
    if (lane == lanes.end()) lane = lanes.insert(lanes.end(), Lane{devices[i], {}});
    lane->jobs.push_back(i);
  }
  return lanes;
}

/// Counts lanes down. Threads that have nothing else to do wait for zero.
class Latch {
 public:
  explicit Latch(std::size_t count) : count_(count) {}
  void arrive() {
    const std::scoped_lock lock(mutex_);
    if (--count_ == 0) done_.notify_all();  // while the lock is held: the latch may be gone once it is not
  }
  void wait() {
    spin_until([this] { return count_ == 0; });
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return count_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  std::atomic<std::size_t> count_;
};

}  // namespace

void run_on(const std::vector<Device>& devices, const std::function<void(std::size_t)>& job) {
  std::vector<std::exception_ptr> errors(devices.size());
  const auto run_lane = [&](const Lane& lane) {
    for (const std::size_t i : lane.jobs) {
      try {
        job(i);
      } catch (...) {
        errors[i] = std::current_exception();
        return;
      }
    }
  };
  const std::vector<Lane> lanes = lanes_of(devices);
  // A worker never waits for another; and a graph is recorded by one thread.
  if (on_worker() || capturing != nullptr) {
    for (const Lane& lane : lanes) run_lane(lane);
  } else {
    const ThreadState caller;
    Latch others(lanes.size() - 1);
    std::exception_ptr not_started;
    for (std::size_t i = 1; i < lanes.size(); ++i) {
      try {
        post(accelerator(lanes[i].device), lanes[i].device.index, [&, lane = &lanes[i]] {
          {
            const ThreadStateScope scope(caller);
            run_lane(*lane);
          }
          others.arrive();
        });
      } catch (...) {  // the system has no thread left
        not_started = std::current_exception();
        others.arrive();
      }
    }
    run_lane(lanes[0]);
    others.wait();
    if (not_started) std::rethrow_exception(not_started);
  }
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
}

}  // namespace miniparallel::parallel
