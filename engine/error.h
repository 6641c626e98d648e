#pragma once

#include <miniparallel/device.h>
#include <miniparallel/dtype.h>
#include <miniparallel/error.h>
#include <miniparallel/shape.h>

#include <concepts>
#include <string>
#include <string_view>

namespace miniparallel {

namespace detail {
inline void append(std::string& text, std::string_view part) { text += part; }
inline void append(std::string& text, char part) { text += part; }
inline void append(std::string& text, DType part) { text += name(part); }
inline void append(std::string& text, Device part) { text += to_string(part); }
inline void append(std::string& text, const Shape& part) { text += to_string(part); }
template <std::integral T>
void append(std::string& text, T part) {
  text += std::to_string(part);
}
void append(std::string& text, double part);
}  // namespace detail

/// The parts as one text: `message("conv2d: got ", shape, " of ", dtype)`.
template <class... Parts>
std::string message(const Parts&... parts) {
  std::string text;
  (detail::append(text, parts), ...);
  return text;
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
