#include <miniparallel/error.h>

#include "engine/io/npy.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    miniparallel::io::parse_npz(std::as_bytes(std::span(data, size)), "fuzz");
  } catch (const miniparallel::Error&) {
  }
  return 0;
}
