#pragma once

#include <miniparallel/dtype.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace miniparallel::io {

/// A dtype and what the format calls it.
struct SafetensorsType {
  DType dtype;
  std::string_view name;
};
/// In the order of their data in a file.
inline constexpr std::array<SafetensorsType, 8> kSafetensorsTypes{{{int64, "I64"},
                                                                   {float64, "F64"},
                                                                   {float32, "F32"},
                                                                   {int32, "I32"},
                                                                   {bfloat16, "BF16"},
                                                                   {float16, "F16"},
                                                                   {uint8, "U8"},
                                                                   {boolean, "BOOL"}}};

/// The type of that dtype or name; null if the format, or this library, has no such type.
inline const SafetensorsType* find_type(DType dtype) {
  const auto* const found = std::ranges::find(kSafetensorsTypes, dtype, &SafetensorsType::dtype);
  return found == kSafetensorsTypes.end() ? nullptr : found;
}
inline const SafetensorsType* find_type(std::string_view name) {
  const auto* const found = std::ranges::find(kSafetensorsTypes, name, &SafetensorsType::name);
  return found == kSafetensorsTypes.end() ? nullptr : found;
}

/// One tensor of a safetensors file: its elements stand at [begin, end) of the data that follows the header,
/// row-major and little-endian.
struct SafetensorsEntry {
  std::string name;
  DType dtype = float32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  ///< in the order of their data, which they cover without a gap
  std::map<std::string, std::string> metadata;
};

}  // namespace miniparallel::io
