#pragma once
// What the memory functions share: looking up ranges, describing addresses, the allocations' books.

#include "core/simulation.h"
#include "miniparallel/simulator/launch.h"

namespace miniparallel::simulator {

/// Whose memory a pointer is.
enum class Space { pageable, pinned, device };

struct Place {
  Space space;
  int device;  ///< -1 in host memory
};

Place place_of(const Simulation&, const void* address);

/// The arguments of a kernel that point to memory of a device or to pinned memory.
std::vector<const void*> pointers_of(const Simulation&, const KernelLaunch& launch);

/// True if the bytes are host memory or lie within one live allocation; else it was reported.
bool is_valid_range(const Simulation&, const void* begin, std::size_t bytes, const char* call);

/// Bytes that the owner, a device or Arenas::host(), can still give.
std::size_t room(const Simulation&, int owner);
/// Books an allocation on a device, or of pinned memory; nullptr if there is no room.
Allocation* allocate(Simulation&, int owner, std::size_t bytes);
/// Takes it back. Reports work that may still use it: what has touched it and is not among the `finished`.
cudaError_t release(Simulation&, void* begin, int owner, const char* call, const Clock& finished);

}  // namespace miniparallel::simulator
