#include <miniparallel/log.h>

#include "engine/fork.h"

#include <cstdio>
#include <mutex>
#include <utility>

namespace miniparallel {
namespace {

void write_to_stderr(LogLevel level, std::string_view message) {
  std::fprintf(stderr, "miniparallel%s: %.*s\n", level == LogLevel::warning ? " warning" : "",
               static_cast<int>(message.size()), message.data());
}

struct Log {
  std::mutex& mutex = fork_safe_mutex(LockOrder::log);
  LogHandler handler = write_to_stderr;
};

Log& instance() {
  static Log* const log = new Log;  // usable by the destructors of statics
  return *log;
}

}  // namespace

LogHandler set_log_handler(LogHandler handler) {
  const std::scoped_lock lock(instance().mutex);
  return std::exchange(instance().handler, std::move(handler));
}

void log(LogLevel level, std::string_view message) {
  const std::scoped_lock lock(instance().mutex);
  if (instance().handler) instance().handler(level, message);
}

}  // namespace miniparallel
