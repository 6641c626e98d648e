#include "engine/error.h"

#include <locale>
#include <sstream>
#include <utility>

namespace miniparallel {

void Error::add_note(std::string_view note) {
  noted_ = std::make_shared<const std::string>(std::string(what()).append("\n  ").append(note));
}

const char* Error::what() const noexcept { return noted_ ? noted_->c_str() : std::runtime_error::what(); }

namespace detail {

#define MP_WRITTEN_VALUE(T) template void write_value<T>(std::ostream&, const void*);
MP_WRITTEN_VALUES(MP_WRITTEN_VALUE)
#undef MP_WRITTEN_VALUE

void MessagePart::write_text(std::ostream& text, const void* value) {
  text << static_cast<const char*>(value);
}

std::string text_of(std::initializer_list<MessagePart> parts) {
  std::ostringstream text;
  text.imbue(std::locale::classic());  // numbers without a user's separators: some texts are keys
  for (const MessagePart& part : parts) text << part;
  return std::move(text).str();
}

void throw_error(std::initializer_list<MessagePart> parts) { throw Error(text_of(parts)); }

}  // namespace detail
}  // namespace miniparallel
