#include "parallel/devices.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace miniparallel::parallel {

std::vector<Device> each_once(const std::vector<Device>& devices) {
  std::vector<Device> once;
  for (const Device device : devices)
    if (std::ranges::find(once, device) == once.end()) once.push_back(device);
  return once;
}

std::string gibibytes(std::int64_t bytes) {
  std::array<char, 32> text{};
  const double value = static_cast<double>(bytes) / (std::int64_t{1} << 30);
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed, 1);
  return {text.data(), end.ptr};
}

}  // namespace miniparallel::parallel
