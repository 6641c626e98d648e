#include "engine/profiler/span.h"

#include "engine/fork.h"
#include "engine/profiler/current_event.h"

#include <chrono>
#include <mutex>
#include <set>

namespace miniparallel::profiler {

std::atomic<std::uint32_t> current_recording = 0;

namespace {

/// A thread's record and the lock that its owner takes for each span, and `finish` once.
struct ThreadLog {
  std::mutex mutex;
  ThreadRecord record;
};

struct Registry {
  std::mutex& mutex = fork_safe_mutex(LockOrder::profiler, forget_parent);
  std::vector<std::shared_ptr<ThreadLog>> logs;
  int threads = 0;
  std::uint32_t recordings = 0;
  std::atomic<std::int64_t> room = 0;  // events that still fit

  static void forget_parent();
};

Registry& registry() {
  static auto* const made = new Registry;  // usable by threads that outlive statics
  return *made;
}

/// A child records separately: spans that other threads had open are not continued here.
void Registry::forget_parent() {
  current_recording = 0;
  new std::vector(std::move(registry().logs));  // their locks may be held for ever
  registry().logs.clear();
}

thread_local Span* innermost = nullptr;
thread_local const Event* innermost_event = nullptr;
thread_local const char* role = nullptr;

ThreadLog& log_of_this_thread() {
  thread_local std::shared_ptr<ThreadLog> log;
  thread_local int generation = -1;
  if (log == nullptr || generation != fork_generation()) {
    log = std::make_shared<ThreadLog>();
    generation = fork_generation();
    Registry& all = registry();
    const std::scoped_lock lock(all.mutex);
    log->record.thread = ++all.threads;
    all.logs.push_back(log);
  }
  return *log;
}

std::int64_t now() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

bool start(std::int64_t max_events) {
  log_of_this_thread();  // the thread that starts comes first
  Registry& all = registry();
  const std::scoped_lock lock(all.mutex);
  if (recording()) return false;
  all.room = max_events;
  if (++all.recordings == 0) ++all.recordings;
  current_recording = all.recordings;
  return true;
}

std::vector<ThreadRecord> finish() {
  Registry& all = registry();
  const std::scoped_lock lock(all.mutex);
  current_recording = 0;  // a span that ends from now on finds it changed, once it has its thread's lock
  std::vector<ThreadRecord> records;
  for (const std::shared_ptr<ThreadLog>& log : all.logs) {
    const std::scoped_lock one(log->mutex);
    ThreadRecord& record = log->record;
    if (record.totals.empty()) continue;
    records.push_back({record.thread, record.role, std::move(record.events), std::move(record.totals)});
    record.events.clear();
    record.totals.clear();
  }
  std::erase_if(all.logs, [](const auto& log) { return log.use_count() == 1; });  // its thread has ended
  return records;
}

const char* intern(const std::string& name) {
  static auto* const names = new std::set<std::string>;
  const std::scoped_lock lock(fork_safe_mutex(LockOrder::names));
  return names->insert(name).first->c_str();
}

void set_thread_role(const char* name) { role = name; }

const Event* current_event() { return innermost_event; }

void Span::begin(Kind kind, const char* name) {
  number_ = current_recording.load(std::memory_order_relaxed);
  children_ = 0;
  parent_ = std::exchange(innermost, this);
  event_ = {};
  innermost_event = &event_;
  event_.kind = kind;
  event_.name = name;
  event_.start = now();
}

void Span::end() {
  event_.duration = now() - event_.start;
  innermost = parent_;
  innermost_event = parent_ == nullptr ? nullptr : &parent_->event_;
  if (parent_ != nullptr && parent_->number_ == number_) parent_->children_ += event_.duration;

  ThreadLog& log = log_of_this_thread();
  const std::scoped_lock lock(log.mutex);
  if (current_recording.load(std::memory_order_relaxed) != number_) return;
  log.record.role = role;
  Totals& totals = log.record.totals[{event_.name, event_.kind}];
  ++totals.calls;
  totals.total += event_.duration;
  totals.self += event_.duration - children_;
  if (registry().room.fetch_sub(1, std::memory_order_relaxed) > 0) log.record.events.push_back(event_);
}

}  // namespace miniparallel::profiler
