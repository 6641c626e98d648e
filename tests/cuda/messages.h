#pragma once

#include <miniparallel/log.h>

#include <string>
#include <string_view>
#include <vector>

namespace miniparallel::testing {

/// Takes the library's messages while it lives.
class Messages {
 public:
  Messages()
      : previous_(set_log_handler([this](LogLevel, std::string_view text) { list.emplace_back(text); })) {}
  ~Messages() { set_log_handler(previous_); }
  Messages(const Messages&) = delete;
  Messages& operator=(const Messages&) = delete;

  std::vector<std::string> list;

 private:
  LogHandler previous_;
};

}  // namespace miniparallel::testing
