#pragma once

#include <miniparallel/device.h>
#include <miniparallel/dtype.h>
#include <miniparallel/error.h>
#include <miniparallel/shape.h>

#include <locale>
#include <sstream>
#include <string>
#include <utility>

namespace miniparallel {

/// The parts as one text, each as `operator<<` writes it: `message("conv2d: got ", shape, " of ", dtype)`.
template <class... Parts>
std::string message(const Parts&... parts) {
  std::ostringstream text;
  text.imbue(std::locale::classic());  // numbers without a user's separators: some texts are keys
  (text << ... << parts);
  return std::move(text).str();
}

/// Throws `Error` with the parts as its message.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw Error(message(parts...));
}

/// `fail` unless `condition`; the parts are only read then.
template <class... Parts>
void check(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]]
    fail(parts...);
}

}  // namespace miniparallel
