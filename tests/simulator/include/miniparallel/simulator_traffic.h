#pragma once
// The bytes of device memory that work reads and writes, on a machine that looks up every access.

#include <cstdint>
#include <string>
#include <vector>

namespace miniparallel::simulator {

/// All work of one name: "kernel scale<float>", or what a copy or a call of a library is called. Bytes are
/// those of the sectors of 32 bytes that it reads or writes, each once for each time that the work runs:
/// what a GPU moves whose caches keep a sector as long as a kernel needs it. Copies and libraries count
/// their operands.
struct MovedBytes {
  std::string name;
  std::int64_t runs = 0, bytes_read = 0, bytes_written = 0;
};

/// Begins to count; all devices must have finished their work.
void start_traffic();
/// What ran since the start, by name, and ends the count.
std::vector<MovedBytes> take_traffic();

}  // namespace miniparallel::simulator
