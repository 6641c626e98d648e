#pragma once

#include <miniparallel/device.h>
#include <miniparallel/dtype.h>
#include <miniparallel/error.h>
#include <miniparallel/shape.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <string>

namespace miniparallel {

namespace detail {

template <class T>
void write_value(std::ostream& text, const void* value) {
  text << *static_cast<const T*>(value);
}
// Those that most files need are compiled once.
#define MP_WRITTEN_VALUES(type)                                                                         \
  type(int) type(std::int64_t) type(std::size_t) type(double) type(std::string) type(Shape) type(DType) \
      type(Device)
#define MP_WRITTEN_VALUE(T) extern template void write_value<T>(std::ostream&, const void*);
MP_WRITTEN_VALUES(MP_WRITTEN_VALUE)
#undef MP_WRITTEN_VALUE

/// A part of a message: a value and how it is written. A message is put together by one function, whatever
/// its parts, so that the many places that may fail stay small.
class MessagePart {
 public:
  MessagePart(const char* text) : value_(text), write_(write_text) {}
  template <class T>
    requires(!std::convertible_to<const T&, const char*>)
  MessagePart(const T& value) : value_(&value), write_(write_value<T>) {}

  friend std::ostream& operator<<(std::ostream& text, const MessagePart& part) {
    part.write_(text, part.value_);
    return text;
  }

 private:
  static void write_text(std::ostream& text, const void* value);

  const void* value_;
  void (*write_)(std::ostream& text, const void* value);
};

std::string text_of(std::initializer_list<MessagePart> parts);
[[noreturn, gnu::cold]] void throw_error(std::initializer_list<MessagePart> parts);

}  // namespace detail

/// The parts as one text, each as `operator<<` writes it: `message("conv2d: got ", shape, " of ", dtype)`.
template <class... Parts>
std::string message(const Parts&... parts) {
  return detail::text_of({parts...});
}

/// Throws `Error` with the parts as its message.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  detail::throw_error({parts...});
}

/// `fail` unless `condition`; the parts are only read then.
template <class... Parts>
void check(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]]
    detail::throw_error({parts...});
}

}  // namespace miniparallel
