#pragma once

#include "engine/profiler/span.h"

#include <string>
#include <vector>

namespace miniparallel::profiler {

/// The name that people see: "Adam.step", "matmul backward".
std::string display_name(const char* name, Kind kind);

/// Writes the events as JSON in the Trace Event Format ("JSON Object Format"; Google, 2016). `dropped`: how
/// many found no room.
void write_chrome_trace(const std::string& path, const std::vector<ThreadRecord>& threads,
                        std::int64_t dropped);

}  // namespace miniparallel::profiler
