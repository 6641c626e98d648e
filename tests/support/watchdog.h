#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace miniparallel::testing {

/// Ends the process with a message if it lives too long: threads that wait for each other
/// for ever would hang.
class Watchdog {
 public:
  explicit Watchdog(std::chrono::minutes patience = std::chrono::minutes(5)) {
    thread_ = std::jthread([this, patience](std::stop_token stop) {
      std::unique_lock lock(mutex_);
      if (changed_.wait_for(lock, stop, patience, [] { return false; })) return;
      if (stop.stop_requested()) return;
      std::fputs("watchdog: a test has hung\n", stderr);
      std::abort();
    });
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread thread_;
};

}  // namespace miniparallel::testing
