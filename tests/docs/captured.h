#pragma once

#include <ostream>
#include <sstream>
#include <string>

namespace miniparallel::testing {

/// While it lives, a stream writes here.
class Captured {
 public:
  explicit Captured(std::ostream& stream) : stream_(stream), previous_(stream.rdbuf(buffer_.rdbuf())) {}
  ~Captured() { stream_.rdbuf(previous_); }
  Captured(const Captured&) = delete;
  Captured& operator=(const Captured&) = delete;

  std::string text() const { return buffer_.str(); }

 private:
  std::ostream& stream_;
  std::ostringstream buffer_;
  std::streambuf* previous_;
};

}  // namespace miniparallel::testing
