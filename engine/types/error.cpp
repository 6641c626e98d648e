#include <miniparallel/error.h>

namespace miniparallel {

void Error::add_note(std::string_view note) {
  noted_ = std::make_shared<const std::string>(std::string(what()).append("\n  ").append(note));
}

const char* Error::what() const noexcept { return noted_ ? noted_->c_str() : std::runtime_error::what(); }

}  // namespace miniparallel
