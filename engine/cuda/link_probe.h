#pragma once

#include "engine/cuda/copies.h"

#include <chrono>
#include <string>

namespace miniparallel::cuda {

/// How long a probe may take. It needs well below a millisecond on GPUs that are not busy; tests shorten it.
inline std::chrono::milliseconds probe_patience{10'000};

/// Tries whether `device` reaches the memory of `peer`, whose access to each other is enabled: with real data, by a copy
/// and by a kernel that reads. Says what is wrong; "" where nothing is. A probe that has not ended by the deadline keeps
/// its memory and its streams, of which no other work makes use.
std::string probe_link(Gpus& gpus, Memory& memory, Copies& copies, int device, int peer);

/// Whether a probe hangs, of this runtime: then no further link should be tried, and CUDA can no longer wait for all of
/// a GPU.
bool a_link_hangs();
/// A new runtime has tried no link yet.
void forget_links();

/// Waits for all work of the GPU but a probe that hangs.
void synchronize(const Gpu& gpu);

}  // namespace miniparallel::cuda
