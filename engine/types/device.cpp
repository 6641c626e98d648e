#include <miniparallel/device.h>

#include "engine/error.h"

#include <charconv>
#include <ostream>

namespace miniparallel {

Device Device::parse(std::string_view text) {
  if (text == "cpu") return cpu();
  if (text == "cuda") return cuda(0);
  if (text.starts_with("cuda:")) {
    int index = -1;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + 5, end, index);
    if (error == std::errc() && stop == end && index >= 0) return cuda(index);
  }
  fail("Device: got '", text, "'; expected 'cpu', 'cuda' or 'cuda:<index>'");
}

std::string to_string(Device device) {
  return device.is_cpu() ? "cpu" : "cuda:" + std::to_string(device.index);
}

std::ostream& operator<<(std::ostream& stream, Device device) { return stream << to_string(device); }

}  // namespace miniparallel
