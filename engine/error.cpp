#include "engine/error.h"

#include <locale>
#include <sstream>
#include <utility>

namespace miniparallel::detail {

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

}  // namespace miniparallel::detail
