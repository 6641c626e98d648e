#pragma once

#include "engine/io/safetensors_entry.h"

#include <string>
#include <string_view>

namespace miniparallel::io {

/// The entries of a safetensors header as its JSON states them: the form is checked (every field once and of
/// its type, nothing unknown, no name twice), the numbers are not.
SafetensorsHeader read_safetensors_json(std::string_view json, const std::string& file);

}  // namespace miniparallel::io
