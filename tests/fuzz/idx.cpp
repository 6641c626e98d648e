#include "engine/data/idx.h"

#include <miniparallel/error.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    miniparallel::data::parse_idx(std::as_bytes(std::span(data, size)), "fuzz");
  } catch (const miniparallel::Error&) {
  }
  return 0;
}
