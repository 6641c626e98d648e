#include "engine/io/safetensors.h"

#include <miniparallel/error.h>

#include <cstdlib>

using namespace miniparallel::io;

/// What is accepted can be written, and what is written is accepted and says the same.
static void check_round_trip(SafetensorsHeader header) {
  lay_out_safetensors(header);
  const std::uint64_t data_size = header.entries.empty() ? 0 : header.entries.back().end;
  const std::string text = format_safetensors_header(header);
  const auto length =
      parse_safetensors_prefix(text.substr(0, kSafetensorsPrefix), text.size() + data_size, "again");
  const auto again = parse_safetensors_header(text.substr(kSafetensorsPrefix, length), data_size, "again");
  if (format_safetensors_header(again) != text) std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  try {
    const std::uint64_t length = parse_safetensors_prefix(file.substr(0, kSafetensorsPrefix), size, "fuzz");
    check_round_trip(parse_safetensors_header(file.substr(kSafetensorsPrefix, length),
                                              size - kSafetensorsPrefix - length, "fuzz"));
  } catch (const miniparallel::Error&) {
  }
  return 0;
}
