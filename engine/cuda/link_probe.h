#pragma once

#include "engine/cuda/copies.h"

#include <chrono>
#include <string>

namespace miniparallel::cuda {

/// How long a probe may take. It needs well below a millisecond on GPUs that are not busy; tests shorten it.
inline std::chrono::milliseconds probe_patience{10'000};

/// Tries whether `device` reaches the memory of `peer`, whose access to each other is enabled: with real
/// data, by a copy and by a kernel that reads. Says what is wrong; "" where nothing is. A probe that has
/// not ended by the deadline keeps its memory and its streams, of which no other work makes use, and notes
/// that a link hangs.
std::string probe_link(Gpus& gpus, Memory& memory, Copies& copies, int device, int peer);

}  // namespace miniparallel::cuda
