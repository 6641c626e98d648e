#include <miniparallel/error.h>

#include "engine/data/cifar10_records.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    miniparallel::data::CifarRecords records;
    miniparallel::data::parse_cifar10(std::as_bytes(std::span(data, size)), "fuzz", records);
  } catch (const miniparallel::Error&) {
  }
  return 0;
}
