#include <miniparallel/error.h>

#include "engine/io/byte_reader.h"

#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    miniparallel::io::ByteReader reader(std::as_bytes(std::span(data, size)), "fuzz");
    for (std::size_t step = 1; step < 100'000; step *= 3) {
      std::vector<std::byte> bytes(step);
      reader.read(bytes, "a part");
    }
    reader.expect_end();
  } catch (const miniparallel::Error&) {
  }
  return 0;
}
