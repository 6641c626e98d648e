#include "core/memory.h"

#include "core/call.h"
#include "core/checker.h"

#include <cstdio>
#include <cstring>

namespace miniparallel::simulator {
namespace {

std::string hexadecimal(std::uintptr_t address) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%zx", static_cast<std::size_t>(address));
  return text;
}

std::string name_of(const Arenas& arenas, const Allocation& allocation) {
  const std::string owner =
      allocation.owner == arenas.host() ? "pinned host memory" : "device " + std::to_string(allocation.owner);
  return "the " + std::to_string(allocation.bytes) + "-byte " +
         (allocation.parent != nullptr ? "block " : "allocation ") + std::to_string(allocation.number) +
         " on " + owner;
}

}  // namespace

std::string describe_address(const Simulation& s, std::uintptr_t address) {
  const int owner = s.arenas.owner(address);
  if (owner < 0) return hexadecimal(address) + ", host memory";
  const Allocation* allocation = s.arenas.find(address);
  if (const auto after = s.blocks.upper_bound(address); after != s.blocks.begin()) {
    const Allocation& block = *std::prev(after)->second;
    if (allocation != nullptr && block.parent == allocation && address < allocation->end())
      allocation = &block;
  }
  if (allocation == nullptr) {
    return hexadecimal(address) + ", memory of device " + std::to_string(owner) + " that was never allocated";
  }
  const std::string name = name_of(s.arenas, *allocation) + (allocation->freed ? ", which was freed" : "");
  if (address < allocation->end()) {
    return hexadecimal(address) + ", byte " + std::to_string(address - allocation->begin) + " of " + name;
  }
  return hexadecimal(address) + ", " + std::to_string(address - allocation->end()) +
         " bytes past the end of " + name;
}

Place place_of(const Simulation& s, const void* pointer) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  const int owner = s.arenas.owner(address);
  if (owner >= 0) return owner == s.arenas.host() ? Place{Space::pinned, -1} : Place{Space::device, owner};
  const auto after = s.registered.upper_bound(address);
  const bool registered =
      after != s.registered.begin() && address - std::prev(after)->first < std::prev(after)->second.first;
  return {registered ? Space::pinned : Space::pageable, -1};
}

std::vector<const void*> pointers_of(const Simulation& s, const KernelLaunch& launch) {
  std::vector<const void*> pointers;
  const auto* const bytes = static_cast<const char*>(launch.arguments.get());
  for (std::size_t at = 0; at + sizeof(void*) <= launch.argument_bytes; at += sizeof(void*)) {
    const void* word = nullptr;
    std::memcpy(&word, bytes + at, sizeof word);
    const auto address = reinterpret_cast<std::uintptr_t>(word);
    if (s.arenas.owner(address) < 0) continue;
    const Allocation* const allocation = s.arenas.find(address);
    if (allocation != nullptr && !allocation->freed && address < allocation->end()) pointers.push_back(word);
  }
  return pointers;
}

bool is_valid_range(const Simulation& s, const void* begin, std::size_t bytes, const char* call) {
  const auto address = reinterpret_cast<std::uintptr_t>(begin);
  if (s.arenas.owner(address) < 0 || bytes == 0) return true;
  const Allocation* const allocation = s.arenas.find(address);
  const bool inside = allocation != nullptr && address + bytes <= allocation->end();
  if (inside && !allocation->freed) return true;
  const bool freed = allocation != nullptr && allocation->freed && address < allocation->end();
  const std::uintptr_t culprit =
      allocation != nullptr && address < allocation->end() && !freed ? allocation->end() : address;
  report(
      freed ? Finding::use_after_free : Finding::out_of_bounds,
      std::string(call) + " of " + std::to_string(bytes) + " bytes touches " + describe_address(s, culprit));
  return false;
}

std::size_t room(const Simulation& s, int owner) {
  if (owner == s.arenas.host()) return s.settings.pinned_memory - s.pinned_bytes;
  const DeviceState& device = s.devices[static_cast<std::size_t>(owner)];
  return device.gpu.memory - static_cast<std::size_t>(device.counters.bytes_in_use);
}

Allocation* allocate(Simulation& s, int owner, std::size_t bytes) {
  if (strike(s.faults.allocations, owner) != cudaSuccess || bytes > room(s, owner)) return nullptr;
  Allocation* const allocation = s.arenas.allocate(owner, bytes);
  if (allocation == nullptr) return nullptr;
  if (owner == s.arenas.host()) {
    s.pinned_bytes += bytes;
    return allocation;
  }
  Counters& counters = s.devices[static_cast<std::size_t>(owner)].counters;
  ++counters.allocations;
  counters.bytes_allocated += static_cast<std::int64_t>(bytes);
  counters.bytes_in_use += static_cast<std::int64_t>(bytes);
  counters.peak_bytes = std::max(counters.peak_bytes, counters.bytes_in_use);
  return allocation;
}

namespace {

/// A stream whose work has touched the allocation and is not known to have finished, or "".
std::string unfinished_user(const Allocation& allocation, const Clock& finished) {
  for (const auto& [stream, sequence] : allocation.users) {
    if (finished.at(stream) < sequence) return "stream " + std::to_string(stream);
  }
  return "";
}

}  // namespace

cudaError_t release(Simulation& s, void* begin, int owner, const char* call, const Clock& finished) {
  Allocation* const allocation = s.arenas.find(reinterpret_cast<std::uintptr_t>(begin));
  const bool known = allocation != nullptr && allocation->begin == reinterpret_cast<std::uintptr_t>(begin);
  if (!known || allocation->freed || (owner == s.arenas.host()) != (allocation->owner == s.arenas.host())) {
    report(Finding::invalid_free, std::string(call) + " of " +
                                      describe_address(s, reinterpret_cast<std::uintptr_t>(begin)) +
                                      ": not the beginning of a live allocation of this sort");
    return cudaErrorInvalidValue;
  }
  if (const std::string user = unfinished_user(*allocation, finished); !user.empty()) {
    report(Finding::free_in_use, std::string(call) + " of " + describe_address(s, allocation->begin) +
                                     " while " + user + " may still use it: nobody has waited for its work");
  }
  if (allocation->owner == s.arenas.host()) {
    s.pinned_bytes -= allocation->bytes;
  } else {
    Counters& counters = s.devices[static_cast<std::size_t>(allocation->owner)].counters;
    ++counters.frees;
    counters.bytes_in_use -= static_cast<std::int64_t>(allocation->bytes);
  }
  s.arenas.release(*allocation);
  if (Checker* const check = checker()) check->released(*allocation);
  return cudaSuccess;
}

}  // namespace miniparallel::simulator
