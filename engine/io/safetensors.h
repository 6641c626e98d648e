#pragma once

#include "engine/io/safetensors_entry.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace miniparallel::io {

/// A file starts with the length of its JSON header in 8 little-endian bytes.
inline constexpr std::uint64_t kSafetensorsPrefix = 8;

/// Decodes the prefix and checks that a header of that length fits the file.
std::uint64_t parse_safetensors_prefix(std::string_view prefix, std::uint64_t file_size,
                                       const std::string& file);

/// Reads and checks the JSON header: no duplicate names, known dtypes, shapes that agree with the offsets,
/// data that covers exactly `data_size` bytes. `file` is the name that errors speak of.
SafetensorsHeader parse_safetensors_header(std::string_view json, std::uint64_t data_size,
                                           const std::string& file);

/// Puts the entries (their begin and end are ignored) in the format's order, widest elements first and then
/// by name, so that all are aligned, and lays their data out one after the other.
void lay_out_safetensors(SafetensorsHeader& header);

/// The prefix and the JSON header of a laid-out file, padded to a multiple of 8 bytes.
std::string format_safetensors_header(const SafetensorsHeader& header);

}  // namespace miniparallel::io
