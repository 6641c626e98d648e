#pragma once

#include "kernels/stream.h"

#include <array>
#include <cstdint>
#include <functional>

// Which of several launches that compute the same is fastest for a problem: measured once, at its first call.

namespace miniparallel::kernels::cuda {

/// What tells problems apart: the launches, by the address of one, and sizes.
using Problem = std::array<std::int64_t, 6>;

/// The launch that has been found for a problem on a device, or -1.
int known_fastest(const Problem& problem, int device);

/// Runs each of `count` launches a few times on the stream and keeps the fastest for the problem. run(i) must
/// do no harm to anything. Waits for the stream, which must not be recording.
int measure_fastest(const Problem& problem, int count, Stream stream, const std::function<void(int)>& run);

/// Whether what is enqueued on the stream becomes a part of a graph.
bool is_recording(Stream stream);

void forget_fastest();

}  // namespace miniparallel::kernels::cuda
