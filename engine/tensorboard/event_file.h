#pragma once

#include "engine/fork.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

namespace miniparallel::tensorboard {

/// A file that records are appended to. Each is handed to the operating system, where it survives the
/// process, within a delay that a thread of the file keeps; it sleeps while nothing is pending. Any thread
/// may call. Pending records are written when the process ends by exit(); a forked child leaves those of its
/// parent to the parent, and may append to the same file.
class EventFile {
 public:
  using Clock = std::chrono::steady_clock;

  /// Makes the file. Throws `Error` where that fails.
  EventFile(std::string path, Clock::duration delay);
  /// Leaves out records that cannot be written: call flush() to know.
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  /// Throws `Error` where this record, or one before, could not be written; they are kept for the next try.
  void append(std::string_view record);
  void flush();

 private:
  bool start_thread();
  void keep_deadlines();
  int write_pending() noexcept;
  void write_or_throw();
  void forget_parent();

  std::string path_;
  Clock::duration delay_;
  int descriptor_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string pending_;
  std::optional<Clock::time_point> deadline_;  // of the pending records
  int error_ = 0;                              // why the last try failed
  bool closing_ = false;
  std::thread thread_;  // started with the first record
  ForkSafety fork_safety_;
};

}  // namespace miniparallel::tensorboard
