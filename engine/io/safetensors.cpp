#include "engine/io/safetensors.h"

#include <miniparallel/error.h>

#include "engine/io/safetensors_json.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <optional>

namespace miniparallel::io {
namespace {

using Json = nlohmann::ordered_json;

// The format's own bound on the header, so that a reader cannot be made to parse for long.
constexpr std::uint64_t kLargestHeader = 100'000'000;

// Bytes of the entry's elements; nothing if they, or the extents next to a zero, do not fit 63 bits.
std::optional<std::uint64_t> byte_size(const SafetensorsEntry& entry) {
  auto size = static_cast<std::int64_t>(size_of(entry.dtype));
  bool empty = false;
  for (const std::int64_t extent : entry.shape) {
    empty |= extent == 0;
    if (extent != 0 && __builtin_mul_overflow(size, extent, &size)) return std::nullopt;
  }
  return empty ? 0 : static_cast<std::uint64_t>(size);
}

void check_entry(const SafetensorsEntry& entry, std::uint64_t data_size, const std::string& file) {
  const auto fail = [&](const std::string& what) {
    throw Error(file + ": tensor '" + entry.name + "': " + what);
  };
  const std::string range =
      "data_offsets [" + std::to_string(entry.begin) + ", " + std::to_string(entry.end) + "]";
  if (entry.begin > entry.end || entry.end > data_size) {
    fail(range + " do not fit the " + std::to_string(data_size) + " bytes of data; the file may be cut off");
  }
  const auto size = byte_size(entry);
  if (!size) fail("its shape has too many elements; expected less than 2^63 bytes");
  if (*size != entry.end - entry.begin) {
    fail(range + " hold " + std::to_string(entry.end - entry.begin) + " bytes; shape and dtype need " +
         std::to_string(*size));
  }
}

}  // namespace

std::uint64_t parse_safetensors_prefix(std::string_view prefix, std::uint64_t file_size,
                                       const std::string& file) {
  if (prefix.size() < kSafetensorsPrefix) {
    throw Error(file + ": not a safetensors file: " + std::to_string(prefix.size()) +
                " bytes; expected at least the 8 of its header's length");
  }
  std::uint64_t length = 0;
  for (std::size_t i = kSafetensorsPrefix; i-- > 0;)
    length = length << 8 | static_cast<unsigned char>(prefix[i]);
  if (length > std::min(kLargestHeader, file_size - kSafetensorsPrefix)) {
    throw Error(file + ": its first 8 bytes announce a header of " + std::to_string(length) +
                " bytes, the file has " + std::to_string(file_size) +
                "; it is cut off or not a safetensors file");
  }
  return length;
}

SafetensorsHeader parse_safetensors_header(std::string_view json, std::uint64_t data_size,
                                           const std::string& file) {
  SafetensorsHeader header = read_safetensors_json(json, file);
  for (const SafetensorsEntry& entry : header.entries) check_entry(entry, data_size, file);
  std::ranges::sort(header.entries, {}, [](const auto& entry) { return std::pair(entry.begin, entry.end); });
  std::uint64_t covered = 0;
  for (const SafetensorsEntry& entry : header.entries) {
    if (entry.begin != covered) {
      throw Error(file + ": tensor '" + entry.name + "' starts at byte " + std::to_string(entry.begin) +
                  " of the data; the one before it ends at " + std::to_string(covered));
    }
    covered = entry.end;
  }
  if (covered != data_size) {
    throw Error(file + ": its tensors cover " + std::to_string(covered) + " bytes, but " +
                std::to_string(data_size) + " bytes of data follow the header; the two must be equal");
  }
  return header;
}

void lay_out_safetensors(SafetensorsHeader& header) {
  std::ranges::sort(header.entries, {}, [](const auto& entry) {
    return std::pair(find_type(entry.dtype), std::string_view(entry.name));
  });
  std::uint64_t at = 0;
  for (SafetensorsEntry& entry : header.entries) {
    entry.begin = at;
    at += byte_size(entry).value();
    entry.end = at;
  }
}

std::string format_safetensors_header(const SafetensorsHeader& header) {
  Json json = Json::object();
  if (!header.metadata.empty()) json["__metadata__"] = header.metadata;
  for (const SafetensorsEntry& entry : header.entries) {
    Json& fields = json[entry.name];
    fields["dtype"] = find_type(entry.dtype)->name;
    fields["shape"] = entry.shape;
    fields["data_offsets"] = {entry.begin, entry.end};
  }
  std::string text;
  try {
    text = json.dump();
  } catch (const Json::exception& error) {
    throw Error(std::string("safetensors: a name or a note is not UTF-8 text (") + error.what() +
                "); use names and notes in UTF-8");
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::string prefix(kSafetensorsPrefix, '\0');
  for (std::size_t i = 0; i < prefix.size(); ++i)
    prefix[i] = static_cast<char>(text.size() >> (8 * i) & 0xff);
  return prefix + text;
}

}  // namespace miniparallel::io
