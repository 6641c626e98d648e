#pragma once

#include <chrono>

namespace miniparallel::data {

/// How long the calling thread has waited for batches of any loader so far, or has made them itself.
std::chrono::nanoseconds time_waited();

}  // namespace miniparallel::data
