#include "parallel/run_together.h"

#include "engine/capturing.h"
#include "engine/threads/thread_state.h"
#include "engine/threads/workers.h"

#include <atomic>
#include <exception>
#include <thread>

namespace miniparallel::parallel {
namespace {

/// Jobs begin when all threads are there: one that cannot be started would let the others wait for ever.
class StartingGun {
 public:
  /// Whether to begin.
  bool wait() const {
    state_.wait(kWaiting);
    return state_ == kGo;
  }
  void fire(bool go) {
    state_ = go ? kGo : kStop;
    state_.notify_all();
  }

 private:
  static constexpr int kWaiting = 0, kGo = 1, kStop = 2;
  std::atomic<int> state_ = kWaiting;
};

void rethrow_lowest(const std::vector<std::exception_ptr>& errors) {
  std::exception_ptr abandoned;
  for (const std::exception_ptr& error : errors) {
    if (!error) continue;
    try {
      std::rethrow_exception(error);
    } catch (const Abandoned&) {
      if (!abandoned) abandoned = error;
    }
  }
  if (abandoned) std::rethrow_exception(abandoned);
}

}  // namespace

void run_together(const std::vector<Device>& devices, const std::function<void(std::size_t)>& job) {
  stop_capture("lets replicas wait for each other (BatchNormPolicy::sync)", "use BatchNormPolicy::merge");
  std::vector<std::exception_ptr> errors(devices.size());
  const auto run = [&](std::size_t i) {
    try {
      job(i);
    } catch (...) {
      errors[i] = std::current_exception();
    }
  };
  const ThreadState caller;
  StartingGun gun;
  std::vector<std::jthread> threads;
  try {
    for (std::size_t i = 1; i < devices.size(); ++i) {
      Accelerator* const owner = devices[i].is_cpu() ? nullptr : &accelerator(devices[i]);
      threads.emplace_back([&, i, owner] {
        if (!gun.wait()) return;
        const WorkerScope worker(owner, devices[i].index);
        const ThreadStateScope state(caller);
        run(i);
      });
    }
  } catch (...) {  // the system has no thread left
    gun.fire(false);
    throw;
  }
  gun.fire(true);
  run(0);
  threads.clear();  // joins
  rethrow_lowest(errors);
}

}  // namespace miniparallel::parallel
