#pragma once
// Counts the sectors of device memory that operations read and write.

#include <cstddef>
#include <cstdint>
#include <string>

namespace miniparallel::simulator {

/// Whether anybody counts. All of this happens under the checker's mutex.
extern bool counts_traffic;

/// The accesses that follow are those of this work.
void begin_traffic_of(const std::string& name);
void add_traffic(std::uintptr_t address, std::size_t bytes, bool reads, bool writes);

}  // namespace miniparallel::simulator
