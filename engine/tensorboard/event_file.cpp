#include "engine/tensorboard/event_file.h"

#include "engine/error.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

namespace miniparallel::tensorboard {
namespace {

constexpr std::size_t kMaxPending = std::size_t{1} << 16;

/// The open files, for a process that ends by exit() while some live.
struct OpenFiles {
  std::mutex& mutex = fork_safe_mutex(LockOrder::event_files);
  std::vector<EventFile*> files;

  static OpenFiles& instance() {
    static auto* const all = new OpenFiles;
    return *all;
  }
};

struct FlushAtExit {
  ~FlushAtExit() {
    OpenFiles& open = OpenFiles::instance();
    const std::scoped_lock lock(open.mutex);
    for (EventFile* const file : open.files) {
      try {
        file->flush();
      } catch (const std::exception&) {
        // The process ends: there is no caller left to tell.
      }
    }
  }
};

}  // namespace

EventFile::EventFile(std::string path, Clock::duration delay)
    : path_(std::move(path)),
      delay_(delay),
      descriptor_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)),
      fork_safety_(LockOrder::event_file, mutex_, [this] { forget_parent(); }) {
  check(descriptor_ >= 0, "SummaryWriter: ", path_,
        ": cannot be written: ", std::generic_category().message(errno), "; choose another folder");
  static const FlushAtExit at_exit;
  OpenFiles& open = OpenFiles::instance();
  const std::scoped_lock lock(open.mutex);
  open.files.push_back(this);
}

EventFile::~EventFile() {
  {
    OpenFiles& open = OpenFiles::instance();
    const std::scoped_lock lock(open.mutex);
    std::erase(open.files, this);
  }
  {
    const std::scoped_lock lock(mutex_);
    write_pending();
    closing_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
  ::close(descriptor_);
}

void EventFile::append(std::string_view record) {
  const std::scoped_lock lock(mutex_);
  pending_ += record;
  if (error_ != 0 || pending_.size() >= kMaxPending || delay_ <= Clock::duration::zero())
    return write_or_throw();
  if (deadline_) return;
  if (!thread_.joinable() && !start_thread()) return write_or_throw();
  deadline_ = Clock::now() + delay_;
  changed_.notify_one();
}

/// False where the system has no more threads.
bool EventFile::start_thread() {
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // the program's signals are for its own threads
  try {
    thread_ = std::thread([this] { keep_deadlines(); });
  } catch (const std::system_error&) {
    // It is asked again for the next record.
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread_.joinable();
}

void EventFile::flush() {
  const std::scoped_lock lock(mutex_);
  write_or_throw();
}

void EventFile::keep_deadlines() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return closing_ || deadline_; });
    while (!closing_ && deadline_ && Clock::now() < *deadline_) {
      const Clock::time_point until = *deadline_;
      changed_.wait_until(lock, until);
    }
    if (closing_) return;
    if (deadline_) write_pending();
  }
}

/// The error number of a failure, or 0; records that were not written stay pending.
int EventFile::write_pending() noexcept {
  std::string_view left = pending_;
  error_ = 0;
  while (!left.empty() && error_ == 0) {
    const auto count = ::write(descriptor_, left.data(), left.size());
    if (count >= 0)
      left.remove_prefix(static_cast<std::size_t>(count));
    else if (errno != EINTR)
      error_ = errno;
  }
  pending_.erase(0, pending_.size() - left.size());
  deadline_.reset();
  return error_;
}

void EventFile::write_or_throw() {
  if (const int error = write_pending(); error != 0)
    fail("SummaryWriter: ", path_, ": cannot be written: ", std::generic_category().message(error),
         "; the records are kept for the next flush");
}

void EventFile::forget_parent() {
  pending_.clear();
  deadline_.reset();
  error_ = 0;
  // The thread is not here; to join it, or to destroy its condition variable, would wait for ever.
  std::construct_at(&thread_);
  std::construct_at(&changed_);
}

}  // namespace miniparallel::tensorboard
