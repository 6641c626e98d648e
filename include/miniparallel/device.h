#pragma once

#include <miniparallel/require_cxx20.h>

#include <compare>
#include <iosfwd>
#include <string>
#include <string_view>

namespace miniparallel {

/// Where a tensor lives: the CPU or one GPU. A text stands for one: `x.to("cuda:1")`.
struct Device {
  enum class Type : unsigned char { cpu, cuda };

  Type type = Type::cpu;
  int index = 0;

  constexpr Device() = default;
  constexpr Device(Type kind, int number) : type(kind), index(number) {}
  Device(const char* text) : Device(parse(text)) {}         // NOLINT: implicit
  Device(const std::string& text) : Device(parse(text)) {}  // NOLINT: implicit

  static constexpr Device cpu() { return {}; }
  static constexpr Device cuda(int index = 0) { return {Type::cuda, index}; }

  /// "cpu", "cuda" (device 0) or "cuda:3". Throws `Error` for anything else, as the constructors do.
  static Device parse(std::string_view text);

  constexpr bool is_cpu() const { return type == Type::cpu; }
  constexpr bool is_cuda() const { return type == Type::cuda; }
  friend constexpr bool operator==(Device, Device) = default;
  friend constexpr auto operator<=>(Device, Device) = default;
  friend std::ostream& operator<<(std::ostream& stream, Device device);  ///< "cpu" or "cuda:0"
};

/// "cpu" or "cuda:0".
std::string to_string(Device device);

}  // namespace miniparallel
